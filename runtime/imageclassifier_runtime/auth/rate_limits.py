"""Token buckets, many of them in bounded memory: so many requests a second each, and so many at once.

A bucket is one number, the moment at which it is full again (the generic cell rate algorithm): a bucket that
nobody uses is full without anything being done, and one that is full is the same as none.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Buckets:
    """One bucket for each of those who ask; for one event loop, not for threads.

    No more than `most` are kept; the one that was not used for longest goes first. If that one was not full yet,
    more ask than there is room for, and it would come back full: so a new bucket then begins with one token
    instead of `burst`, and nobody gains by filling the table with addresses. Refused attempts cost nothing.
    """

    def __init__(
        self, *, per_second: float, burst: int, most: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = 1 / per_second
        self._room = (burst - 1) * self._interval
        self._most = most
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, who: str) -> int:
        """Take one token and return 0, or return after how many whole seconds there will be one."""
        now = self._clock()
        full_at = self._full_at.get(who)
        if full_at is None:
            full_at = self._new(now)
        full_at = max(full_at, now)
        wait = full_at - self._room - now
        # An interval added and taken away again leaves a rounding error, which is no reason to refuse.
        if wait > 1e-9:
            self._keep(who, full_at)
            return math.ceil(wait)
        self._keep(who, full_at + self._interval)
        return 0

    def charge(self, who: str, tokens: int) -> None:
        """Take tokens for what was let in already; where they are not there, the next one waits until they are."""
        self._keep(who, max(self._full_at.get(who, 0.0), self._clock()) + tokens * self._interval)

    def _new(self, now: float) -> float:
        if len(self._full_at) < self._most:
            return now
        _, oldest = self._full_at.popitem(last=False)
        return now if oldest <= now else now + self._room

    def _keep(self, who: str, full_at: float) -> None:
        self._full_at[who] = full_at
        self._full_at.move_to_end(who)
        if len(self._full_at) > self._most:
            self._full_at.popitem(last=False)
