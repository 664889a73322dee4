"""Threads that work for an event loop, with no more than a queue between them and it."""

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


def settle(answer: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    """Tell who waits, if anybody still does, what the work has come to."""
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        # A future takes any exception but StopIteration.
        answer.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)


class Task:
    """A piece of work that is to be done once, or withdrawn while no thread has begun it."""

    __slots__ = ("_claim", "_work", "began", "done", "loop")

    def __init__(self, work: Callable[[], Any], done: Done) -> None:
        self._work: Callable[[], Any] | None = work
        self.done = done
        self.loop = asyncio.get_running_loop()
        self.began: float | None = None
        """When a thread took it, by `time.monotonic()`."""
        self._claim = threading.Lock()

    def begin(self) -> Callable[[], Any] | None:
        """Return the work, for the thread that does it; None where it was withdrawn."""
        if not self._claim.acquire(blocking=False):
            return None
        self.began = time.monotonic()
        work, self._work = self._work, None
        return work

    def withdraw(self) -> bool:
        """See to it that the work is not done; False where a thread has begun it. Then `done` is not called."""
        if not self._claim.acquire(blocking=False):
            return False
        self._work = None
        return True


class Workers:
    """A fixed number of threads. `concurrent.futures` does as much at three times the cost of a hand-over.

    `niceness`, 0 to 19, says how far they give way to the other threads of this container.
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
        """Run `work` in one of the threads, then `done(result, error)` on the running loop, whatever happened."""
        task = Task(work, done)
        self._tasks.put(task)
        return task

    def shutdown(self) -> None:
        """Let every thread end after the work that is queued already."""
        for _ in self._threads:
            self._tasks.put(None)

    def _serve(self) -> None:
        if self._niceness:
            with contextlib.suppress(OSError, AttributeError):  # a sandbox may refuse it, and only Linux has it
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._niceness)
        while (task := self._tasks.get()) is not None:
            if (work := task.begin()) is not None:
                result: Any = None
                error: BaseException | None = None
                try:
                    result = work()
                except BaseException as caught:  # noqa: BLE001 - it is raised again where the result is waited for
                    error = caught
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    task.loop.call_soon_threadsafe(task.done, result, error)
                del work, result, error
            # Nothing of a request is to live on while this thread waits for the next one.
            del task
