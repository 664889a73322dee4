"""Memory is handed back when a crowd has gone, and never in the way of anybody."""

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
    """Counts; `done` is set by each."""

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
    room.on_rest = HeapTrimmer(room, workers, trim).rest
    yield room, trim
    workers.shutdown()


async def work(room: Admission) -> None:
    await room.run(Lease(), peak=1, work=lambda: None, limit=30)


async def until_trimmed(trim: Trim) -> None:
    assert await asyncio.to_thread(trim.done.wait, 10)
    trim.done.clear()


async def test_memory_is_handed_back_once_nobody_is_left(admission: tuple[Admission, Trim]) -> None:
    room, trim = admission
    await work(room)
    assert trim.count == 0
    await until_trimmed(trim)


async def test_images_one_after_the_other_never_meet_it(admission: tuple[Admission, Trim]) -> None:
    room, trim = admission
    end = asyncio.get_running_loop().time() + 0.3
    while asyncio.get_running_loop().time() < end:
        await work(room)
    assert trim.count == 0
    await until_trimmed(trim)


async def test_it_is_not_done_again_soon(
    admission: tuple[Admission, Trim], monkeypatch: pytest.MonkeyPatch
) -> None:
    room, trim = admission
    monkeypatch.setattr("imageclassifier_runtime.scheduling.heap_trimmer._EVERY_SECONDS", 0.5)
    loop = asyncio.get_running_loop()
    await work(room)
    await until_trimmed(trim)
    first = loop.time()
    await work(room)
    await until_trimmed(trim)
    assert loop.time() - first > 0.4
    assert trim.count == 2
