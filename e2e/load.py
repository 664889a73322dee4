"""A steady stream of requests to one Service, and what came of each of them."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from e2e.classifiers import CLASSIFY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.classifiers import Door


@dataclass
class Report:
    """What was sent and what came back; a failure is anything but a 200."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """How many requests were sent."""
        return len(self.seconds) + len(self.failures)

    def __str__(self) -> str:
        """One line."""
        if not self.seconds:
            return f"{self.sent} requests, none answered"
        ordered = sorted(self.seconds)
        p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        return (
            f"{self.sent} requests, {len(self.failures)} failed, "
            f"median {statistics.median(ordered) * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms"
        )


@contextmanager
def steady(door: Door, image: bytes, *, per_second: float) -> Iterator[Report]:
    """Send at a fixed rate while the block runs, whatever comes back; then wait for the last answers.

    Every second request has a connection of its own, as new clients have; the others keep theirs, as pools do.
    """
    report, stop = Report(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_send(door, image, per_second, report, stop)))
    thread.start()
    try:
        yield report
    finally:
        stop.set()
        thread.join()


async def _send(door: Door, image: bytes, per_second: float, report: Report, stop: threading.Event) -> None:
    began, number = time.monotonic(), 0
    async with (
        door.async_client(seconds=15) as keeping,
        door.async_client(seconds=15, keep_alive=False) as new,
        asyncio.TaskGroup() as group,
    ):
        while not stop.is_set():
            client = new if number % 2 else keeping
            group.create_task(_ask(client, image, report, began))
            number += 1
            await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))


async def _ask(client: httpx.AsyncClient, image: bytes, report: Report, began: float) -> None:
    started = time.monotonic()
    try:
        answer = await client.post(CLASSIFY, content=image, headers={"Content-Type": "image/jpeg"})
    except httpx.HTTPError as error:
        report.failures.append(f"at {started - began:.2f} s: {error!r}")
        return
    if answer.status_code == httpx.codes.OK:
        report.seconds.append(time.monotonic() - started)
    else:
        report.failures.append(f"at {started - began:.2f} s: {answer.status_code} {answer.text[:200]}")
