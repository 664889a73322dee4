"""Memory is returned to the system after a burst of requests, and never delays a request."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.scheduling.admission import Admission, Sizes
from imageclassifier_runtime.scheduling.heap_trimmer import HeapTrimmer
from imageclassifier_runtime.scheduling.resource_pools import Lease
from imageclassifier_runtime.scheduling.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator


class Trim:
    """Counts calls; each sets `done`."""

    def __init__(self) -> None:
        self.count = 0
        self.done = threading.Event()

    def __call__(self) -> None:
        self.count += 1
        self.done.set()


@pytest.fixture
def admission() -> Iterator[tuple[Admission, Trim]]:
    workers, trim = Workers(1), Trim()
    room = Admission(sizes=Sizes(bodies=100, pixels=100), workers=workers, max_queue=2, queue_timeout=30)
    room.on_idle = HeapTrimmer(room, workers, trim).start_idle_period
    yield room, trim
    workers.shutdown()


async def work(room: Admission) -> None:
    await room.run(Lease(), peak=1, work=lambda: None, limit=30)


async def until_trimmed(trim: Trim) -> None:
    assert await asyncio.to_thread(trim.done.wait, 10)
    trim.done.clear()


async def test_memory_is_returned_once_all_workers_are_idle(admission: tuple[Admission, Trim]) -> None:
    room, trim = admission
    await work(room)
    assert trim.count == 0
    await until_trimmed(trim)


async def test_sequential_images_are_not_delayed_by_it(admission: tuple[Admission, Trim]) -> None:
    room, trim = admission
    end = asyncio.get_running_loop().time() + 0.3
    while asyncio.get_running_loop().time() < end:
        await work(room)
    assert trim.count == 0
    await until_trimmed(trim)


async def test_trimming_is_rate_limited(
    admission: tuple[Admission, Trim], monkeypatch: pytest.MonkeyPatch
) -> None:
    room, trim = admission
    monkeypatch.setattr("imageclassifier_runtime.scheduling.heap_trimmer._MIN_INTERVAL_SECONDS", 0.5)
    loop = asyncio.get_running_loop()
    await work(room)
    await until_trimmed(trim)
    first = loop.time()
    await work(room)
    await until_trimmed(trim)
    assert loop.time() - first > 0.4
    assert trim.count == 2
