"""Admission: a bounded queue, and byte pools that together never grant more memory than there is.

The order of acquisition prevents deadlocks: a request takes memory for its body, then for its pixels, then a
worker. A request with a worker waits for nothing, so pixels are freed; a request with pixels waits for workers
only; bodies have their own pool, so waiting bodies cannot keep a decode from starting. A prepared input that
waits for its batch keeps part of its pixels and acquires no more.
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

# Timeout of the work for one image.
WORK_TIMEOUT_SECONDS = 30.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """The capacities of the pools, in bytes."""

    bodies: int
    pixels: int


class Admission:
    """The queue and the pools of one server.

    `ahead` requests are handed to the workers' queue in advance: a worker that finishes takes its next image
    immediately, without waiting for the event loop.
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
        """Requests in a worker and in the workers' queue."""
        self.on_idle: Callable[[], None] | None = None
        """Called when the last request has left the workers."""
        self._max_queue = max_queue
        self.queue_timeout = queue_timeout
        self._threads = workers

    def is_only_request(self) -> bool:
        """Return whether at most one request is running and none is waiting; callable from any thread."""
        return self.running <= 1 and not self.waiting

    @property
    def concurrency(self) -> int:
        """Return how many requests can run at the same time."""
        return self._threads.count

    @property
    def in_flight(self) -> int:
        """Return how many requests are in a worker."""
        return min(self.running, self._threads.count)

    @property
    def queue_depth(self) -> int:
        """Return how many requests wait, including those in the workers' queue."""
        return self.waiting + self.running - self.in_flight

    def _check_queue(self) -> None:
        """Raise UnavailableError if the queue is full; a request that need not wait is rejected too."""
        if self.queue_depth >= self._max_queue:
            raise UnavailableError(
                f"The queue is full with {self._max_queue} requests. Retry shortly.", reason="queue-full"
            )

    @contextlib.contextmanager
    def _queued(self) -> Iterator[None]:
        """Count a request as waiting; raises UnavailableError on a timeout."""
        self.waiting += 1
        try:
            yield
        except TimeoutError:
            raise self.capacity_timeout() from None
        finally:
            self.waiting -= 1

    async def admit_body(self, lease: Lease, size: int) -> None:
        """Acquire memory for a body; raises UnavailableError, TooLargeError."""
        if size > self.bodies.capacity:
            raise TooLargeError("The body is larger than this server has memory for.", reason="memory")
        await self._take(lease, self.bodies, size)

    async def take_pixels(self, lease: Lease, size: int) -> None:
        """Acquire memory for prepared inputs; raises UnavailableError, TooLargeError."""
        if size > self.pixels.capacity:
            raise TooLargeError("The tensor is larger than this server has memory for.", reason="memory")
        await self._take(lease, self.pixels, size)

    async def _take(self, lease: Lease, pool: Pool, size: int) -> None:
        self._check_queue()
        await self._wait_for(lease, pool, size, asyncio.get_running_loop().time() + self.queue_timeout)

    async def _wait_for(self, lease: Lease, pool: Pool, amount: int, deadline: float) -> None:
        """Take from a pool; count the request as waiting if it has to wait."""
        if not lease.try_take(pool, amount):
            with self._queued():
                await lease.take(pool, amount, deadline)

    async def run(self, lease: Lease, *, peak: int, work: Callable[[], T], limit: float, keep: int = 0) -> T:
        """Run `work` in a worker thread once `peak` bytes are acquired for it.

        The result is awaited for at most `limit` seconds; the memory, and everything that `lease` has taken, is
        released only when the work ends, because a thread cannot be stopped. Raises UnavailableError,
        TooLargeError.

        `keep` of these bytes are moved to `lease`, for the result of `work`.
        """
        if peak > self.pixels.capacity:
            raise TooLargeError(
                f"Decoding this kind of image at this size takes {peak >> 20} MiB, and this server has "
                f"{self.pixels.capacity >> 20} MiB for it. Send a smaller version.",
                reason="memory",
            )
        self._check_queue()
        deadline = asyncio.get_running_loop().time() + self.queue_timeout
        work_lease = Lease(lease)
        try:
            await self._wait_for(work_lease, self.pixels, peak, deadline)
            if keep:
                work_lease.move(keep, lease)
            await self._wait_for(work_lease, self.workers, 1, deadline)
        except BaseException:
            work_lease.release()
            raise
        return await self._run_task(work_lease, work, deadline, limit)

    def start(self, work: Callable[[], T], done: Callable[[T, BaseException | None], None]) -> Task:
        """Run `work` for a caller that has acquired a worker; `done` must release it and everything else taken."""

        def ended(result: T, error: BaseException | None) -> None:
            self.running -= 1
            if isinstance(error, RequestError):
                # Drop its frames, which reference the image: the image's memory is about to be released.
                error.__cause__ = error.__context__ = error.__traceback__ = None
            done(result, error)
            if not self.running and self.on_idle is not None:
                self.on_idle()

        self.running += 1
        return self._threads.submit(work, ended)

    async def _run_task(self, lease: Lease, work: Callable[[], T], deadline: float, limit: float) -> T:
        """Return the result of `work`, which must start before `deadline` and take at most `limit` seconds."""
        waiter = _ResultWaiter(self, lease, deadline, limit)
        task = self.start(work, waiter.done)
        waiter.watch(task)
        try:
            return cast("T", await waiter.future)
        except asyncio.CancelledError:
            self.withdraw_task(task, lease)
            raise
        finally:
            waiter.end()

    def withdraw_task(self, task: Task, lease: Lease) -> bool:
        """Withdraw a task from the workers' queue and release its memory; False if a worker has started it."""
        if not task.withdraw():
            return False
        self.running -= 1
        lease.release()
        return True

    def capacity_timeout(self) -> UnavailableError:
        """Return the error for a request that waited too long."""
        detail = f"Timed out after {self.queue_timeout:g} s waiting for capacity. Retry shortly."
        return UnavailableError(detail, reason="queue-timeout")


class _ResultWaiter:
    """Waits for a result: until `deadline` (loop time) in the workers' queue, then for `limit` seconds.

    `end` drops the references to the result and to the timer. Otherwise, if the result is an exception, its
    frames and this object would form a reference cycle, which keeps image, task and timer until the garbage
    collector runs.
    """

    __slots__ = ("_admission", "_deadline", "_future", "_lease", "_limit", "_task", "_timer")

    def __init__(self, admission: Admission, lease: Lease, deadline: float, limit: float) -> None:
        self._admission = admission
        self._lease = lease
        self._deadline = deadline
        self._limit = limit
        self._future: asyncio.Future[Any] | None = asyncio.get_running_loop().create_future()
        self._task: Task | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def future(self) -> asyncio.Future[Any]:
        """Return the future of the result."""
        assert self._future is not None, "already ended"
        return self._future

    def watch(self, task: Task) -> None:
        """Start the timeout for `task`."""
        self._task = task
        loop = self.future.get_loop()
        self._timer = loop.call_at(min(self._deadline, loop.time() + self._limit), self._check_timeout)

    def done(self, result: Any, error: BaseException | None) -> None:
        """Accept the result of the work, and release its memory."""
        self._lease.release()
        if self._future is not None:
            settle(self._future, result, error)

    def end(self) -> None:
        """Stop the timeout and drop the references."""
        self._future = self._task = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_timeout(self) -> None:
        future, task = self._future, self._task
        if future is None or task is None or future.done():
            return
        loop = future.get_loop()
        now = loop.time()
        due = self._deadline if task.began is None else task.began + self._limit
        if now < due:
            self._timer = loop.call_at(due, self._check_timeout)
        elif self._admission.withdraw_task(task, self._lease):
            future.set_exception(self._admission.capacity_timeout())
        elif task.began is None:
            self._timer = loop.call_at(now + self._limit, self._check_timeout)  # a worker is just starting it
        else:
            detail = f"Timed out after {self._limit:g} s classifying the image."
            future.set_exception(UnavailableError(detail, reason="work-timeout"))
