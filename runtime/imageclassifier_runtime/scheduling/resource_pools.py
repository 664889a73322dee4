"""Pools that grant units in order, and leases that release what a request has taken."""

from __future__ import annotations

import asyncio
from collections import deque


class Pool:
    """A number of units, granted first come, first served. For one event loop; not thread-safe."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.free = capacity
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def contended(self) -> bool:
        """Return whether a request waits for units."""
        return bool(self._waiting)

    def take(self, amount: int) -> bool:
        """Take `amount` units if they are free and no request waits."""
        if self._waiting or amount > self.free:
            return False
        self.free -= amount
        return True

    async def acquire(self, amount: int, deadline: float) -> None:
        """Take `amount` units, waiting until `deadline` (loop time); raises TimeoutError.

        Callers must not request more than the capacity: it would never be granted.
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

    def take_first(self, amount: int) -> asyncio.Future[None]:
        """Take units ahead of all waiters; the future is done once they are taken. It must not be cancelled."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if amount <= self.free:
            self.free -= amount
            granted.set_result(None)
        else:
            self._waiting.appendleft((amount, granted))
        return granted

    def release(self, amount: int) -> None:
        """Return units to the pool."""
        self.free += amount
        self._grant()

    def _grant(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.free:
            amount, granted = self._waiting[0]
            if granted.cancelled():
                return  # its own `acquire` is about to dequeue it and grant the next
            self._waiting.popleft()
            self.free -= amount
            granted.set_result(None)


class Lease:
    """The units that one request has taken; released once.

    The units of a `parent` are released after those of its children: a thread may still read the body of a request
    that has failed.
    """

    def __init__(self, parent: Lease | None = None) -> None:
        self._taken: list[tuple[Pool, int]] = []
        self._parent = parent
        self._users = 1
        if parent is not None:
            parent._users += 1

    def try_take(self, pool: Pool, amount: int) -> bool:
        """Take from a pool until `release`, if no waiting is needed."""
        if not pool.take(amount):
            return False
        self._taken.append((pool, amount))
        return True

    async def take(self, pool: Pool, amount: int, deadline: float) -> None:
        """Take from a pool until `release`; raises TimeoutError."""
        await pool.acquire(amount, deadline)
        self._taken.append((pool, amount))

    def move(self, amount: int, to: Lease) -> None:
        """Move a part of what was taken last to another lease."""
        pool, taken = self._taken.pop()
        self._taken.append((pool, taken - amount))
        to._taken.append((pool, amount))

    def release(self) -> None:
        """Release everything once all children are released too; each owner calls it once."""
        self._users -= 1
        if self._users:
            return
        taken, self._taken = self._taken, []
        for pool, amount in reversed(taken):
            pool.release(amount)
        if self._parent is not None:
            self._parent.release()
