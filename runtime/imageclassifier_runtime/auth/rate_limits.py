"""Token buckets in bounded memory: a rate in requests per second and a burst size for each client.

A bucket is one number, the time at which it is full again (the generic cell rate algorithm). So an unused bucket
fills without any work, and a full bucket can be dropped.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Buckets:
    """One bucket per client; for one event loop; not thread-safe.

    At most `max_buckets` are kept; the least recently used one is evicted first. A client whose bucket was evicted
    before it was full would return with a full one. So the bucket that replaces it starts with one token instead
    of `burst`, and flooding the table with addresses gains nothing. Rejected requests take no token.
    """

    def __init__(
        self, *, per_second: float, burst: int, max_buckets: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = 1 / per_second
        self._burst_tolerance = (burst - 1) * self._interval
        self._max_buckets = max_buckets
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, client: str) -> int:
        """Take one token and return 0, or return in how many whole seconds one will be available."""
        now = self._clock()
        full_at = self._full_at.get(client)
        if full_at is None:
            full_at = self._new(now)
        full_at = max(full_at, now)
        wait = full_at - self._burst_tolerance - now
        # Adding and subtracting an interval leaves a rounding error, which must not cause a rejection.
        if wait > 1e-9:
            self._keep(client, full_at)
            return math.ceil(wait)
        self._keep(client, full_at + self._interval)
        return 0

    def charge(self, client: str, tokens: int) -> None:
        """Take tokens for requests already accepted; missing tokens delay the next request."""
        self._keep(client, max(self._full_at.get(client, 0.0), self._clock()) + tokens * self._interval)

    def _new(self, now: float) -> float:
        if len(self._full_at) < self._max_buckets:
            return now
        _, oldest = self._full_at.popitem(last=False)
        return now if oldest <= now else now + self._burst_tolerance

    def _keep(self, client: str, full_at: float) -> None:
        self._full_at[client] = full_at
        self._full_at.move_to_end(client)
        if len(self._full_at) > self._max_buckets:
            self._full_at.popitem(last=False)
