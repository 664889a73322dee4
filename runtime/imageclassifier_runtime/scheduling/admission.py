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
from typing import TYPE_CHECKING, Any, TypeVar, cast

from imageclassifier_runtime.errors import RequestError, TooLargeError, UnavailableError
from imageclassifier_runtime.scheduling.resource_pools import Lease, Pool
from imageclassifier_runtime.scheduling.workers import settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imageclassifier_runtime.scheduling.workers import Task, Workers

T = TypeVar("T")

# How long the work of one image may take before its client gets an answer without it.
WORK_SECONDS = 30.0


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
    def concurrency(self) -> int:
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
            if isinstance(error, RequestError):
                # Its frames hold the image, and its room is about to be given back. What was wrong is in its text.
                error.__cause__ = error.__context__ = error.__traceback__ = None
            done(result, error)
            if not self.running and self.on_rest is not None:
                self.on_rest()

        self.running += 1
        return self._threads.submit(work, ended)

    async def _worked(self, room: Lease, work: Callable[[], T], deadline: float, limit: float) -> T:
        """Return what `work` returns; it has to begin until `deadline` and then end within `limit` seconds."""
        wait = _Wait(self, room, deadline, limit)
        task = self.start(work, wait.done)
        wait.watch(task)
        try:
            return cast("T", await wait.answer)
        except asyncio.CancelledError:
            self.leave_door(task, room)
            raise
        finally:
            wait.end()

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


class _Wait:
    """The wait for an answer: until `deadline` (loop time) at the door, then for `limit` seconds.

    Once it has ended it lets go of the answer and the timer. An error that was the answer holds the frames that it
    came through, these hold the wait: image, task and timer would be left to the garbage collector.
    """

    __slots__ = ("_admission", "_answer", "_deadline", "_limit", "_room", "_task", "_timer")

    def __init__(self, admission: Admission, room: Lease, deadline: float, limit: float) -> None:
        self._admission = admission
        self._room = room
        self._deadline = deadline
        self._limit = limit
        self._answer: asyncio.Future[Any] | None = asyncio.get_running_loop().create_future()
        self._task: Task | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def answer(self) -> asyncio.Future[Any]:
        """Return what is waited for."""
        assert self._answer is not None, "asked for after its end"
        return self._answer

    def watch(self, task: Task) -> None:
        """Begin to count."""
        self._task = task
        loop = self.answer.get_loop()
        self._timer = loop.call_at(min(self._deadline, loop.time() + self._limit), self._look)

    def done(self, result: Any, error: BaseException | None) -> None:
        """Take what the work has come to, and give its room back."""
        self._room.release()
        if self._answer is not None:
            settle(self._answer, result, error)

    def end(self) -> None:
        """Stop, and let go."""
        self._answer = self._task = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        answer, task = self._answer, self._task
        if answer is None or task is None or answer.done():
            return
        loop = answer.get_loop()
        now = loop.time()
        due = self._deadline if task.began is None else task.began + self._limit
        if now < due:
            self._timer = loop.call_at(due, self._look)
        elif self._admission.leave_door(task, self._room):
            answer.set_exception(self._admission.no_room())
        elif task.began is None:
            self._timer = loop.call_at(now + self._limit, self._look)  # it has gone in this very moment
        else:
            detail = f"The image was not classified within {self._limit:g} s."
            answer.set_exception(UnavailableError(detail, reason="work-timeout"))
