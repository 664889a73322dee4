"""Sends requests to one Service at a fixed rate, and records the results."""

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

    from e2e.classifiers import Endpoint


@dataclass
class Report:
    """The durations of requests with status 200, and the failures, which are all other requests."""

    durations: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """The number of requests sent."""
        return len(self.durations) + len(self.failures)

    def __str__(self) -> str:
        """Summarize in one line."""
        if not self.durations:
            return f"{self.sent} requests, none with status 200"
        ordered = sorted(self.durations)
        p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        return (
            f"{self.sent} requests, {len(self.failures)} failed, "
            f"median {statistics.median(ordered) * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms"
        )


@contextmanager
def steady_load(endpoint: Endpoint, image: bytes, *, per_second: float) -> Iterator[Report]:
    """Send requests at a fixed rate while the block runs, without waiting for responses.

    Every second request opens a new connection, as new clients do; the others use keep-alive, as connection
    pools do. The end of the block waits for the last responses.
    """
    report, stop = Report(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_send(endpoint, image, per_second, report, stop)))
    thread.start()
    try:
        yield report
    finally:
        stop.set()
        thread.join()


async def _send(
    endpoint: Endpoint, image: bytes, per_second: float, report: Report, stop: threading.Event
) -> None:
    load_start, number = time.monotonic(), 0
    async with (
        endpoint.async_client(timeout_seconds=15) as keep_alive,
        endpoint.async_client(timeout_seconds=15, keep_alive=False) as without_keep_alive,
        asyncio.TaskGroup() as group,
    ):
        while not stop.is_set():
            client = without_keep_alive if number % 2 else keep_alive
            group.create_task(_send_one(client, image, report, load_start))
            number += 1
            await asyncio.sleep(max(0.0, load_start + number / per_second - time.monotonic()))


async def _send_one(client: httpx.AsyncClient, image: bytes, report: Report, load_start: float) -> None:
    request_start = time.monotonic()
    try:
        response = await client.post(CLASSIFY, content=image, headers={"Content-Type": "image/jpeg"})
    except httpx.HTTPError as error:
        report.failures.append(f"at {request_start - load_start:.2f} s: {error!r}")
        return
    status = response.status_code
    if status == httpx.codes.OK:
        report.durations.append(time.monotonic() - request_start)
    else:
        report.failures.append(f"at {request_start - load_start:.2f} s: {status} {response.text[:200]}")
