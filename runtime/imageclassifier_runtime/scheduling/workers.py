"""Worker threads for an event loop, connected by a simple queue."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Done = Callable[[Any, BaseException | None], None]


def settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    """Set the result or the error of a future, unless it is done already."""
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        # A future takes any exception but StopIteration.
        future.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)


class Task:
    """A piece of work that runs once, or is withdrawn before a thread starts it."""

    __slots__ = ("_claim", "_work", "began", "done", "loop")

    def __init__(self, work: Callable[[], Any], done: Done) -> None:
        self._work: Callable[[], Any] | None = work
        self.done = done
        self.loop = asyncio.get_running_loop()
        self.began: float | None = None
        """When a thread started it, by `time.monotonic()`."""
        self._claim = threading.Lock()

    def begin(self) -> Callable[[], Any] | None:
        """Return the work for the thread that runs it; None if it was withdrawn."""
        if not self._claim.acquire(blocking=False):
            return None
        self.began = time.monotonic()
        work, self._work = self._work, None
        return work

    def withdraw(self) -> bool:
        """Cancel the work, so that `done` is not called; False if a thread has started it."""
        if not self._claim.acquire(blocking=False):
            return False
        self._work = None
        return True


class Workers:
    """A fixed number of threads; the hand-over costs a third of that of `concurrent.futures`.

    `niceness`, 0 to 19, lowers their priority compared with the other threads of this container.
    """

    def __init__(self, count: int, *, niceness: int = 0) -> None:
        self.count = count
        self._niceness = niceness
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._serve, name=f"classify-{number}", daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[[], Any], done: Done) -> Task:
        """Run `work` in one of the threads, then always `done(result, error)` on the running loop."""
        task = Task(work, done)
        self._tasks.put(task)
        return task

    def shutdown(self) -> None:
        """Stop every thread after the work that is already queued."""
        for _ in self._threads:
            self._tasks.put(None)

    def _serve(self) -> None:
        if self._niceness:
            with contextlib.suppress(OSError, AttributeError):  # Linux only, and a sandbox may deny it
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._niceness)
        while (task := self._tasks.get()) is not None:
            if (work := task.begin()) is not None:
                result: Any = None
                error: BaseException | None = None
                try:
                    result = work()
                except BaseException as caught:  # noqa: BLE001 - raised again where the result is awaited
                    error = caught
                with contextlib.suppress(RuntimeError):  # the loop is closed, and no request waits for the result
                    task.loop.call_soon_threadsafe(task.done, result, error)
                del work, result, error
            # Drop all references to the request while this thread waits for the next one.
            del task
