"""Threads that work for an event loop, with no more than a queue between them and it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Done = Callable[[Any, BaseException | None], None]
    Task = tuple[Callable[[], Any], Done, asyncio.AbstractEventLoop]


class Workers:
    """A fixed number of threads. `concurrent.futures` does as much at three times the cost of a hand-over."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._serve, name=f"classify-{number}", daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[[], Any], done: Done) -> None:
        """Run `work` in one of the threads, then `done(result, error)` on the running loop, whatever happened."""
        self._tasks.put((work, done, asyncio.get_running_loop()))

    def shutdown(self) -> None:
        """Let every thread end after the work that is queued already."""
        for _ in self._threads:
            self._tasks.put(None)

    def _serve(self) -> None:
        while (task := self._tasks.get()) is not None:
            work, done, loop = task
            result: Any = None
            error: BaseException | None = None
            try:
                result = work()
            except BaseException as caught:  # noqa: BLE001 - it is raised again where the result is waited for
                error = caught
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(done, result, error)
            # Nothing of a request is to live on while this thread waits for the next one.
            del task, work, done, loop, result, error
