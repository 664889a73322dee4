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
        """Return whether anybody waits for units."""
        return bool(self._waiting)

    def take(self, amount: int) -> bool:
        """Take `amount` units if they are free and nobody waits."""
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
    """The units that one request holds; released once.

    A lease `under` another keeps that one's units taken: a body that a thread still reads outlives its request.
    """

    def __init__(self, under: Lease | None = None) -> None:
        self._held: list[tuple[Pool, int]] = []
        self._under = under
        self._users = 1
        if under is not None:
            under._users += 1

    def try_take(self, pool: Pool, amount: int) -> bool:
        """Take from a pool until `release`, if no waiting is needed."""
        if not pool.take(amount):
            return False
        self._held.append((pool, amount))
        return True

    async def take(self, pool: Pool, amount: int, deadline: float) -> None:
        """Take from a pool until `release`; raises TimeoutError."""
        await pool.acquire(amount, deadline)
        self._held.append((pool, amount))

    def move(self, amount: int, to: Lease) -> None:
        """Move a part of what was taken last to another lease."""
        pool, held = self._held.pop()
        self._held.append((pool, held - amount))
        to._held.append((pool, amount))

    def release(self) -> None:
        """Release everything once no lease under this one is left; each owner calls it once."""
        self._users -= 1
        if self._users:
            return
        held, self._held = self._held, []
        for pool, amount in reversed(held):
            pool.release(amount)
        if self._under is not None:
            self._under.release()
