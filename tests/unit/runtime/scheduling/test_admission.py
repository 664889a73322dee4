"""Capacity is granted in order, never twice, and waiting for it times out."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.errors import SettingsError, TooLargeError, UnavailableError
from imageclassifier_runtime.scheduling.admission import Admission, Sizes
from imageclassifier_runtime.scheduling.memory_budget import Memory, divide, needed
from imageclassifier_runtime.scheduling.resource_pools import Lease, Pool
from imageclassifier_runtime.scheduling.workers import Workers
from imageclassifier_runtime.settings.commands import ServeSettings
from imageclassifier_runtime.settings.fields import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOON = 0.05


def soon() -> float:
    return asyncio.get_running_loop().time() + SOON


def later() -> float:
    return asyncio.get_running_loop().time() + 30


@pytest.fixture
def worker() -> Iterator[Workers]:
    workers = Workers(1)
    yield workers
    workers.shutdown()


def admission(worker: Workers, *, max_queue: int = 2, timeout: float = 30, ahead: int = 0) -> Admission:
    return Admission(
        sizes=Sizes(bodies=100, pixels=100),
        workers=worker,
        max_queue=max_queue,
        queue_timeout=timeout,
        ahead=ahead,
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - state of a thread, which sets no event
            await asyncio.sleep(0)


async def test_a_pool_grants_units_in_order() -> None:
    pool, order = Pool(10), []

    async def take(name: str, amount: int) -> None:
        await pool.acquire(amount, later())
        order.append(name)

    await pool.acquire(10, later())
    tasks = []
    for name, amount in (("large", 9), ("small", 1), ("other", 5)):
        tasks.append(asyncio.create_task(take(name, amount)))
        await asyncio.sleep(0)
    pool.release(5)
    await asyncio.sleep(0)
    assert order == []  # the small one does not overtake the large one
    pool.release(5)
    await until(lambda: len(order) == 2)
    pool.release(9)
    await asyncio.gather(*tasks)
    assert order == ["large", "small", "other"]


async def test_a_timed_out_waiter_unblocks_the_next() -> None:
    pool = Pool(10)
    await pool.acquire(5, later())
    gives_up = asyncio.create_task(pool.acquire(10, soon()))
    await asyncio.sleep(0)
    behind = asyncio.create_task(pool.acquire(5, later()))
    with pytest.raises(TimeoutError):
        await gives_up
    await behind
    assert pool.free == 0


async def test_a_cancelled_wait_leaks_no_units() -> None:
    pool = Pool(10)
    await pool.acquire(10, later())
    waiting = asyncio.create_task(pool.acquire(4, later()))
    await asyncio.sleep(0)
    pool.release(10)  # granted, but cancelled before it runs again
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert pool.free == 10


async def test_a_lease_is_released_once() -> None:
    pool, lease = Pool(10), Lease()
    await lease.take(pool, 4, later())
    lease.release()
    lease.release()
    assert pool.free == 10


async def test_a_request_beyond_the_queue_is_rejected_immediately(
    worker: Workers,
) -> None:
    room, release = admission(worker), threading.Event()
    leases = [Lease() for _ in range(4)]
    running = [asyncio.create_task(room.run(lease, peak=10, work=release.wait, limit=30)) for lease in leases[:3]]
    await until(lambda: room.waiting == 2)
    with pytest.raises(UnavailableError) as caught:
        await room.run(leases[3], peak=10, work=release.wait, limit=30)
    assert caught.value.reason == "queue-full"
    assert 1 <= int(caught.value.headers["Retry-After"]) <= 3
    release.set()
    assert await asyncio.gather(*running) == [True] * 3
    assert (room.pixels.free, room.workers.free, room.waiting) == (100, 1, 0)


async def test_waiting_times_out(worker: Workers) -> None:
    room, release = admission(worker, timeout=SOON), threading.Event()
    busy = asyncio.create_task(room.run(Lease(), peak=100, work=release.wait, limit=30))
    await until(lambda: room.running == 1)
    with pytest.raises(UnavailableError) as caught:
        await room.run(Lease(), peak=1, work=release.wait, limit=30)
    assert caught.value.reason == "queue-timeout"
    release.set()
    await busy


async def test_after_a_timeout_the_memory_stays_taken_until_the_work_ends(worker: Workers) -> None:
    room, release, lease = admission(worker), threading.Event(), Lease()
    with pytest.raises(UnavailableError) as caught:
        await room.run(lease, peak=60, work=release.wait, limit=SOON)
    assert caught.value.reason == "work-timeout"
    assert (room.pixels.free, room.workers.free) == (40, 0)
    release.set()
    await until(lambda: room.pixels.free == 100 and room.workers.free == 1)


async def test_after_a_disconnect_the_memory_stays_taken_until_the_work_ends(worker: Workers) -> None:
    room, begun, release = admission(worker), threading.Event(), threading.Event()
    task = asyncio.create_task(
        room.run(Lease(), peak=60, work=lambda: begun.set() or release.wait(), limit=30)  # type: ignore[func-returns-value]
    )
    await until(begun.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (room.running, room.pixels.free, room.workers.free) == (1, 40, 0)
    release.set()
    await until(lambda: room.running == 0 and room.pixels.free == 100 and room.workers.free == 1)


@pytest.mark.parametrize("raised", [ZeroDivisionError("x"), StopIteration("x"), SystemExit("x")])
async def test_any_exception_of_the_work_reaches_the_caller_and_the_thread_survives(
    worker: Workers, raised: BaseException
) -> None:
    def fail() -> None:
        raise raised

    room = admission(worker)
    expected = RuntimeError if isinstance(raised, StopIteration) else type(raised)
    with pytest.raises(expected):
        await room.run(Lease(), peak=1, work=fail, limit=30)
    assert await room.run(Lease(), peak=1, work=lambda: "alive", limit=30) == "alive"


async def test_a_request_is_alone_until_another_arrives(worker: Workers) -> None:
    room, release = admission(worker), threading.Event()
    assert room.is_only_request()
    first = asyncio.create_task(room.run(Lease(), peak=1, work=release.wait, limit=30))
    await until(lambda: room.running == 1)
    assert room.is_only_request()
    second = asyncio.create_task(room.run(Lease(), peak=1, work=release.wait, limit=30))
    await until(lambda: room.waiting == 1)
    assert not room.is_only_request()
    release.set()
    await asyncio.gather(first, second)
    assert room.is_only_request()


async def test_work_beyond_the_capacity_is_rejected_as_too_large(worker: Workers) -> None:
    room = admission(worker)
    with pytest.raises(TooLargeError):
        await room.run(Lease(), peak=101, work=lambda: None, limit=1)
    with pytest.raises(TooLargeError):
        await room.admit_body(Lease(), 101)


async def test_waiting_bodies_do_not_block_decoding(worker: Workers) -> None:
    room, lease = admission(worker), Lease()
    await room.admit_body(lease, 100)
    assert await room.run(lease, peak=100, work=lambda: "done", limit=30) == "done"


@pytest.mark.parametrize("image_bytes", [MIB, 10 * MIB, 50 * MIB])
@pytest.mark.parametrize("pixels", [1_000_000, 25_000_000, 100_000_000])
def test_the_smallest_accepted_memory_limit_fits_the_largest_image(image_bytes: int, pixels: int) -> None:
    settings = ServeSettings(max_image_bytes=image_bytes, max_image_pixels=pixels)
    limit = needed(settings)
    assert limit == 160 * MIB + image_bytes + 8 * pixels
    sizes = divide(Memory(limit=limit, used=125 * MIB, available=0), settings)
    assert sizes.bodies >= image_bytes
    assert sizes.pixels >= 4.2 * pixels + 12 * MIB or sizes.pixels >= 7.5 * pixels
    assert sizes.bodies + sizes.pixels + 125 * MIB < limit


def test_a_memory_limit_that_is_too_small_is_an_error() -> None:
    with pytest.raises(SettingsError, match="memory limit of 128 MiB is too small"):
        divide(Memory(limit=128 * MIB, used=120 * MIB, available=0), ServeSettings())


def test_without_a_limit_at_most_half_of_the_available_memory_is_used() -> None:
    sizes = divide(Memory(limit=None, used=0, available=1024 * MIB), ServeSettings())
    assert sizes.bodies + sizes.pixels == 512 * MIB


async def test_a_task_in_the_workers_queue_starts_without_the_event_loop(worker: Workers) -> None:
    room, release, after = admission(worker, ahead=1), threading.Event(), threading.Event()
    first = asyncio.create_task(room.run(Lease(), peak=10, work=release.wait, limit=30))
    second = asyncio.create_task(
        room.run(Lease(), peak=10, work=lambda: after.set() or 2, limit=30)  # type: ignore[func-returns-value]
    )
    await until(lambda: room.running == 2)
    assert (room.in_flight, room.queue_depth) == (1, 1)
    release.set()
    assert after.wait(10)  # blocks this event loop
    assert (await first, await second) == (True, 2)
    assert (room.running, room.workers.free, room.pixels.free) == (0, 2, 100)


async def test_a_task_in_the_workers_queue_counts_as_waiting_and_times_out(worker: Workers) -> None:
    room, begun, release = (
        admission(worker, ahead=1, max_queue=1, timeout=SOON),
        threading.Event(),
        threading.Event(),
    )
    busy = asyncio.create_task(
        room.run(Lease(), peak=10, work=lambda: begun.set() or release.wait(), limit=30)  # type: ignore[func-returns-value]
    )
    await until(begun.is_set)
    door = asyncio.create_task(room.run(Lease(), peak=10, work=release.wait, limit=30))
    await until(lambda: room.running == 2)
    with pytest.raises(UnavailableError) as caught:
        await room.run(Lease(), peak=10, work=release.wait, limit=30)
    assert caught.value.reason == "queue-full"
    with pytest.raises(UnavailableError) as caught:
        await door
    assert caught.value.reason == "queue-timeout"
    assert (room.running, room.workers.free, room.pixels.free) == (1, 1, 90)
    release.set()
    assert await busy
    assert (room.running, room.workers.free, room.pixels.free) == (0, 2, 100)


async def test_a_disconnect_withdraws_a_task_from_the_workers_queue(worker: Workers) -> None:
    room, begun, release = admission(worker, ahead=1), threading.Event(), threading.Event()
    busy = asyncio.create_task(
        room.run(Lease(), peak=10, work=lambda: begun.set() or release.wait(), limit=30)  # type: ignore[func-returns-value]
    )
    await until(begun.is_set)
    done: list[str] = []
    task = asyncio.create_task(room.run(Lease(), peak=60, work=lambda: done.append("work"), limit=30))
    await until(lambda: room.running == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (room.running, room.pixels.free, room.workers.free) == (1, 90, 1)
    release.set()
    assert await busy
    worker.shutdown()
    assert done == []
