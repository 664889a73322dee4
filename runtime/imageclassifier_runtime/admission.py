"""Who may come in: a bounded queue, and byte pools that together never promise more memory than there is.

Deadlock is impossible by order: a request takes room for its body, then for its pixels, then a worker. Whoever
holds a worker waits for nothing, so pixels come free; whoever holds pixels waits for workers only; and the pool of
bodies is apart from that of pixels, so bodies that wait cannot keep a decode from starting. A prepared input that
waits for its batch is one who holds pixels: it keeps some of those that it was let in with, and asks for no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from imageclassifier_runtime.errors import TooLargeError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imageclassifier_runtime.workers import Task, Workers

T = TypeVar("T")

# How long the work of one image may take before its client gets an answer without it.
WORK_SECONDS = 30.0


class Pool:
    """A number of units handed out first come, first served. For one event loop, not for threads."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.free = capacity
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def contended(self) -> bool:
        """Return whether somebody waits for units."""
        return bool(self._waiting)

    def take(self, amount: int) -> bool:
        """Take `amount` units if they are free and nobody waits for any."""
        if self._waiting or amount > self.free:
            return False
        self.free -= amount
        return True

    async def acquire(self, amount: int, deadline: float) -> None:
        """Take `amount` units, waiting until `deadline` (loop time); raises TimeoutError.

        More than the capacity would wait for ever: callers must not ask for it.
        """
        if self.take(amount):
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (amount, granted)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout_at(deadline):
                await granted
        except BaseException:
            if granted.done() and not granted.cancelled():
                self.release(amount)
            else:
                self._waiting.remove(entry)
                self._grant()
            raise

    def ask(self, amount: int) -> asyncio.Future[None]:
        """Take units ahead of all who wait; the future is done once they are taken. It must not be cancelled."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if amount <= self.free:
            self.free -= amount
            granted.set_result(None)
        else:
            self._waiting.appendleft((amount, granted))
        return granted

    def release(self, amount: int) -> None:
        """Give units back."""
        self.free += amount
        self._grant()

    def _grant(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.free:
            amount, granted = self._waiting[0]
            if granted.cancelled():
                return  # its own acquire is about to take it off the queue, and grants on
            self._waiting.popleft()
            self.free -= amount
            granted.set_result(None)


class Lease:
    """What one request holds; given back once.

    A lease `under` another keeps that one's room taken: a body that a thread still reads outlives its request.
    """

    def __init__(self, under: Lease | None = None) -> None:
        self._held: list[tuple[Pool, int]] = []
        self._under = under
        self._users = 1
        if under is not None:
            under._users += 1

    def take_now(self, pool: Pool, amount: int) -> bool:
        """Take from a pool until `release`, if that needs no waiting."""
        if not pool.take(amount):
            return False
        self._held.append((pool, amount))
        return True

    async def take(self, pool: Pool, amount: int, deadline: float) -> None:
        """Take from a pool until `release`; raises TimeoutError."""
        await pool.acquire(amount, deadline)
        self._held.append((pool, amount))

    def hand_over(self, amount: int, to: Lease) -> None:
        """Let another lease have a part of what was taken last."""
        pool, held = self._held.pop()
        self._held.append((pool, held - amount))
        to._held.append((pool, amount))

    def release(self) -> None:
        """Give everything back, once no lease under this one is left; to be called once by each owner."""
        self._users -= 1
        if self._users:
            return
        held, self._held = self._held, []
        for pool, amount in reversed(held):
            pool.release(amount)
        if self._under is not None:
            self._under.release()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """How the memory is divided, in bytes."""

    bodies: int
    pixels: int


class Admission:
    """The queue and the pools of one server.

    `ahead` so many requests stand at the workers' door, beside those that are in a worker: a worker that is done
    then has its next image at once, and need not wait until the event loop has got round to handing it over.
    """

    def __init__(
        self,
        *,
        sizes: Sizes,
        workers: Workers,
        max_queue: int,
        queue_timeout: float,
        ahead: int = 0,
    ) -> None:
        self.bodies = Pool(sizes.bodies)
        self.pixels = Pool(sizes.pixels)
        self.workers = Pool(workers.count + ahead)
        self.waiting = 0
        self.running = 0
        """Those in a worker and those at the door."""
        self.on_rest: Callable[[], None] | None = None
        """Called when the last request has left the workers."""
        self._max_queue = max_queue
        self.queue_timeout = queue_timeout
        self._threads = workers

    def alone(self) -> bool:
        """Return whether the one request in a worker has no other beside it or behind it; for any thread."""
        return self.running <= 1 and not self.waiting

    @property
    def abreast(self) -> int:
        """Return how many can be worked at in the same moment."""
        return self._threads.count

    @property
    def in_flight(self) -> int:
        """Return how many are in a worker."""
        return min(self.running, self._threads.count)

    @property
    def queue_depth(self) -> int:
        """Return how many wait, at the door too."""
        return self.waiting + self.running - self.in_flight

    def _check_queue(self) -> None:
        """Raise UnavailableError where no more may wait; then none may pass those who do either."""
        if self.queue_depth >= self._max_queue:
            raise UnavailableError(
                f"{self._max_queue} requests are waiting already. Try again shortly.", reason="queue-full"
            )

    @contextlib.contextmanager
    def _queued(self) -> Iterator[None]:
        """Count a request as waiting; raises UnavailableError where it waits for too long."""
        self.waiting += 1
        try:
            yield
        except TimeoutError:
            raise self.no_room() from None
        finally:
            self.waiting -= 1

    async def admit_body(self, lease: Lease, size: int) -> None:
        """Wait for room for a body; raises UnavailableError."""
        if size > self.bodies.capacity:
            raise TooLargeError("The body is larger than this server has memory for.", reason="memory")
        await self._take(lease, self.bodies, size)

    async def take_pixels(self, lease: Lease, size: int) -> None:
        """Wait for room for prepared inputs; raises UnavailableError, TooLargeError."""
        if size > self.pixels.capacity:
            raise TooLargeError("The tensor is larger than this server has memory for.", reason="memory")
        await self._take(lease, self.pixels, size)

    async def _take(self, lease: Lease, pool: Pool, size: int) -> None:
        self._check_queue()
        await self._wait_for(lease, pool, size, asyncio.get_running_loop().time() + self.queue_timeout)

    async def _wait_for(self, lease: Lease, pool: Pool, amount: int, deadline: float) -> None:
        """Take from a pool, and count as waiting where that has to be waited for."""
        if not lease.take_now(pool, amount):
            with self._queued():
                await lease.take(pool, amount, deadline)

    async def run(self, lease: Lease, *, peak: int, work: Callable[[], T], limit: float, keep: int = 0) -> T:
        """Run `work` in a worker thread once there is room for its `peak` bytes.

        The answer is waited for `limit` seconds at most; that room, and what `lease` holds, stays taken until the
        thread ends, because a thread cannot be stopped. Raises UnavailableError, TooLargeError.

        `keep` of these bytes become the lease's own, until it is released: the room of what `work` returns.
        """
        if peak > self.pixels.capacity:
            raise TooLargeError(
                f"Decoding this kind of image at this size takes {peak >> 20} MiB, and this server has "
                f"{self.pixels.capacity >> 20} MiB for it. Send a smaller version.",
                reason="memory",
            )
        self._check_queue()
        deadline = asyncio.get_running_loop().time() + self.queue_timeout
        room = Lease(lease)
        try:
            await self._wait_for(room, self.pixels, peak, deadline)
            if keep:
                room.hand_over(keep, lease)
            await self._wait_for(room, self.workers, 1, deadline)
        except BaseException:
            room.release()
            raise
        return await self._worked(room, work, deadline, limit)

    def start(self, work: Callable[[], T], done: Callable[[T, BaseException | None], None]) -> Task:
        """Run `work` now, for one who has a worker; `done` has to give that back, and whatever else was taken."""

        def ended(result: T, error: BaseException | None) -> None:
            self.running -= 1
            done(result, error)
            if not self.running and self.on_rest is not None:
                self.on_rest()

        self.running += 1
        return self._threads.submit(work, ended)

    async def _worked(self, room: Lease, work: Callable[[], T], deadline: float, limit: float) -> T:
        """Return what `work` returns; it has to begin until `deadline` and then end within `limit` seconds."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def done(result: T, error: BaseException | None) -> None:
            room.release()
            if answer.done():
                return  # nobody waits for it any more
            if error is None:
                answer.set_result(result)
            else:
                # A future takes any exception but StopIteration.
                answer.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)

        task = self.start(work, done)
        patience = _Patience(self, task, room, answer, deadline, limit)
        try:
            return await answer
        except asyncio.CancelledError:
            self.leave_door(task, room)
            raise
        finally:
            patience.end()

    def leave_door(self, task: Task, room: Lease) -> bool:
        """Take a task from the workers' door and give its room back; False where it is in a worker already."""
        if not task.withdraw():
            return False
        self.running -= 1
        room.release()
        return True

    def no_room(self) -> UnavailableError:
        """Return the error for one whose wait took too long."""
        detail = f"No room came free within {self.queue_timeout:g} s. Try again shortly."
        return UnavailableError(detail, reason="queue-timeout")


class _Patience:
    """Ends the wait for an answer: at `deadline` (loop time) at the door, `limit` seconds after it went in."""

    __slots__ = ("_admission", "_answer", "_deadline", "_limit", "_room", "_task", "_timer")

    def __init__(
        self,
        admission: Admission,
        task: Task,
        room: Lease,
        answer: asyncio.Future[Any],
        deadline: float,
        limit: float,
    ) -> None:
        self._admission = admission
        self._task = task
        self._room = room
        self._answer = answer
        self._deadline = deadline
        self._limit = limit
        loop = answer.get_loop()
        self._timer: asyncio.TimerHandle | None = loop.call_at(min(deadline, loop.time() + limit), self._look)

    def end(self) -> None:
        """Stop. The timer is let go of too: else image, task and timer would wait for the garbage collector."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        if self._answer.done():
            return
        loop, began = self._answer.get_loop(), self._task.began
        now = loop.time()
        due = self._deadline if began is None else began + self._limit
        if now < due:
            self._timer = loop.call_at(due, self._look)
        elif self._admission.leave_door(self._task, self._room):
            self._answer.set_exception(self._admission.no_room())
        elif began is None:
            self._timer = loop.call_at(now + self._limit, self._look)  # it has gone in this very moment
        else:
            detail = f"The image was not classified within {self._limit:g} s."
            self._answer.set_exception(UnavailableError(detail, reason="work-timeout"))
