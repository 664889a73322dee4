"""The queue of objects that are due: one reconcile per object at a time, retries with backoff and jitter."""

from __future__ import annotations

import asyncio
import heapq
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_RETRY_SECONDS = 0.5
MAX_RETRY_SECONDS = 60.0


@dataclass(frozen=True, order=True)
class Key:
    """The namespace and name of an object; its content is read when it is reconciled."""

    namespace: str
    name: str


class WorkQueue:
    """Keys, each with the time at which it is due. If a key is queued twice, the earlier time counts.

    A key that is queued during its reconcile is due again afterwards, so that no change is missed.

    observe_wait: called with how many seconds after its due time a key was taken.

    Call `schedule_poll` for a key whose state may change without an event. The time between polls doubles until an
    event resets it.
    """

    def __init__(
        self, *, clock: Callable[[], float] | None = None, observe_wait: Callable[[float], None] = lambda _: None
    ) -> None:
        self._observe_wait = observe_wait
        self._clock = clock or asyncio.get_running_loop().time
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._running: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._polls: dict[Key, int] = {}
        self._events: set[Key] = set()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due)

    def notify(self, key: Key, *, after: float = 0.0) -> None:
        """Make a key due in `after` seconds, unless it is due earlier already.

        `after=0` means that there was an event, which resets the time between polls.
        """
        if not after:
            self._polls.pop(key, None)
            self._events.add(key)
        due = self._clock() + after
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, key))
        self._changed.set()

    async def take(self) -> tuple[Key, bool]:
        """Wait for a key that is due and is not being reconciled, and remove it from the queue.

        Returns the key, and whether there was an event since the key was last taken.
        """
        while True:
            key, wait = self._next()
            if key is not None:
                self._running.add(key)
                self._observe_wait(self._clock() - self._due.pop(key))
                had_event = key in self._events
                self._events.discard(key)
                return key, had_event
            self._changed.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, key: Key) -> None:
        """Report that the reconcile of a key succeeded, so that the key can be taken again."""
        self._failures.pop(key, None)
        self._release(key)

    def schedule_poll(self, key: Key, *, first: float, longest: float) -> None:
        """Make a key due in `first` seconds; each further call without an event doubles that, up to `longest`."""
        count = self._polls.get(key, 0)
        self.notify(key, after=min(first * 2.0 ** min(count, 16), longest))
        self._polls[key] = count + 1

    def forget(self, key: Key) -> None:
        """Drop the time between polls of a key that does not exist any more. If the key is due, it stays due."""
        self._polls.pop(key, None)

    def failed(self, key: Key, *, min_wait: float = 0.0) -> float:
        """Report that the reconcile of a key failed, make the key due later, and return the seconds until then."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        backoff = min(FIRST_RETRY_SECONDS * 2.0 ** min(count, 16), MAX_RETRY_SECONDS)
        wait = max(min_wait, backoff * random.uniform(0.5, 1.0))  # noqa: S311  jitter, not security
        self._release(key)
        self.notify(key, after=wait)
        return wait

    def _release(self, key: Key) -> None:
        self._running.discard(key)
        if key in self._due:
            heapq.heappush(self._heap, (self._due[key], key))
        self._changed.set()

    def _next(self) -> tuple[Key | None, float | None]:
        """Return a key that is due, removed from the heap, or else the seconds until one is due.

        Both are None if nothing is due before the queue changes.
        """
        now = self._clock()
        while self._heap:
            due, key = self._heap[0]
            if self._due.get(key) != due or key in self._running:
                heapq.heappop(self._heap)  # outdated, or being reconciled: `_release` pushes it again
                continue
            if due > now:
                return None, due - now
            heapq.heappop(self._heap)
            return key, None
        return None, None
