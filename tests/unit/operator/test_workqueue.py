"""The order of work, on a clock of the test's own."""

from __future__ import annotations

import asyncio

import pytest
from imageclassifier_operator.controller import Key, WorkQueue
from imageclassifier_operator.controller.workqueue import MAX_RETRY_SECONDS

A, B = Key("ns", "a"), Key("ns", "b")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def taken(queue: WorkQueue) -> Key | None:
    """The key that is due at this moment, if any."""
    found = await taken_with_event(queue)
    return None if found is None else found[0]


async def taken_with_event(queue: WorkQueue) -> tuple[Key, bool] | None:
    """The same, and whether there was an event."""
    task = asyncio.create_task(queue.take())
    for _ in range(3):
        await asyncio.sleep(0)
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return None


async def test_a_key_notified_twice_is_taken_once() -> None:
    queue = WorkQueue(clock=Clock())
    queue.notify(A)
    queue.notify(A)
    assert await taken(queue) == A
    queue.done(A)
    assert await taken(queue) is None


async def test_a_key_notified_while_it_is_taken_is_due_again_afterwards() -> None:
    queue = WorkQueue(clock=Clock())
    queue.notify(A)
    assert await taken(queue) == A
    queue.notify(A)
    assert await taken(queue) is None
    queue.done(A)
    assert await taken(queue) == A


async def test_a_taken_key_does_not_delay_another() -> None:
    queue = WorkQueue(clock=Clock())
    queue.notify(A)
    assert await taken(queue) == A
    queue.notify(A)
    queue.notify(B)
    assert await taken(queue) == B


async def test_the_earliest_time_wins() -> None:
    clock = Clock()
    queue = WorkQueue(clock=clock)
    queue.notify(A, after=5)
    queue.notify(A, after=50)
    assert await taken(queue) is None
    clock.now = 5
    assert await taken(queue) == A
    queue.done(A)
    clock.now = 100
    assert await taken(queue) is None


async def test_a_notification_wakes_a_waiting_worker() -> None:
    queue = WorkQueue()
    task = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.notify(B)
    assert await asyncio.wait_for(task, 1) == (B, True)


async def test_a_waiting_worker_wakes_when_a_key_falls_due() -> None:
    queue = WorkQueue()
    queue.notify(A, after=0.02)
    assert await asyncio.wait_for(queue.take(), 1) == (A, False)


async def test_a_poll_is_no_event_but_what_happens_before_it_is() -> None:
    clock = Clock()
    queue = WorkQueue(clock=clock)
    queue.notify(A)
    assert await taken_with_event(queue) == (A, True)
    queue.done(A)
    queue.schedule_poll(A, first=5, longest=60)
    clock.now = 5
    assert await taken_with_event(queue) == (A, False)
    queue.notify(A)  # while it is being reconciled
    queue.done(A)
    queue.schedule_poll(A, first=5, longest=60)
    assert await taken_with_event(queue) == (A, True)


async def test_retries_back_off_up_to_a_limit_until_a_success() -> None:
    clock = Clock()
    queue = WorkQueue(clock=clock)
    waits = []
    for _ in range(12):
        queue.notify(A)
        assert await taken(queue) == A
        waits.append(queue.failed(A))
        clock.now += MAX_RETRY_SECONDS
    assert waits[0] <= 0.5
    assert max(waits) <= MAX_RETRY_SECONDS
    assert waits[-1] >= MAX_RETRY_SECONDS / 2
    assert await taken(queue) == A
    queue.done(A)
    queue.notify(A)
    assert await taken(queue) == A
    assert queue.failed(A) <= 0.5


async def test_a_retry_waits_at_least_as_long_as_the_server_asked() -> None:
    queue = WorkQueue(clock=Clock())
    queue.notify(A)
    assert await taken(queue) == A
    assert queue.failed(A, min_wait=7) == pytest.approx(7)


async def test_the_time_between_polls_grows_until_there_is_an_event() -> None:
    clock = Clock()
    queue = WorkQueue(clock=clock)

    async def seconds_until_due() -> float:
        queue.schedule_poll(A, first=5.0, longest=60.0)
        before = clock.now
        while await taken(queue) is None:
            clock.now += 1.0
        queue.done(A)
        return clock.now - before

    assert [await seconds_until_due() for _ in range(6)] == [
        5.0,
        10.0,
        20.0,
        40.0,
        60.0,
        60.0,
    ]
    queue.notify(A)
    assert await taken(queue) == A
    queue.done(A)
    assert await seconds_until_due() == 5.0


async def test_a_resync_does_not_shorten_the_time_between_polls() -> None:
    clock = Clock()
    queue = WorkQueue(clock=clock)
    queue.schedule_poll(A, first=5.0, longest=60.0)
    clock.now = 5.0
    assert await taken(queue) == A
    queue.notify(A, after=100.0)
    queue.done(A)
    queue.schedule_poll(A, first=5.0, longest=60.0)
    clock.now = 14.0
    assert await taken(queue) is None
    clock.now = 15.0
    assert await taken(queue) == A


async def test_a_key_that_is_forgotten_is_polled_from_the_start() -> None:
    clock = Clock()
    queue = WorkQueue(clock=clock)
    for wait in (5.0, 10.0):
        queue.schedule_poll(A, first=5.0, longest=60.0)
        clock.now += wait
        assert await taken(queue) == A
        queue.done(A)
    queue.forget(A)
    queue.schedule_poll(A, first=5.0, longest=60.0)
    clock.now += 5.0
    assert await taken(queue) == A


async def test_the_time_that_a_due_key_waits_is_observed() -> None:
    clock, waits = Clock(), list[float]()
    queue = WorkQueue(clock=clock, observe_wait=waits.append)
    queue.notify(A, after=5)
    clock.now = 7
    assert await taken(queue) == A
    assert waits == [2]
