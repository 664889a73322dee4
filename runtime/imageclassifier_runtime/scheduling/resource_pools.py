"""Units handed out in order, and leases that give back what a request has taken of them."""

from __future__ import annotations

import asyncio
from collections import deque


class Pool:
    """A number of units handed out first come, first served. For one event loop, not for threads."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.free = capacity
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def contended(self) -> bool:
        """Return whether somebody waits for units."""
        return bool(self._waiting)

    def take(self, amount: int) -> bool:
        """Take `amount` units if they are free and nobody waits for any."""
        if self._waiting or amount > self.free:
            return False
        self.free -= amount
        return True

    async def acquire(self, amount: int, deadline: float) -> None:
        """Take `amount` units, waiting until `deadline` (loop time); raises TimeoutError.

        More than the capacity would wait for ever: callers must not ask for it.
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

    def ask(self, amount: int) -> asyncio.Future[None]:
        """Take units ahead of all who wait; the future is done once they are taken. It must not be cancelled."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if amount <= self.free:
            self.free -= amount
            granted.set_result(None)
        else:
            self._waiting.appendleft((amount, granted))
        return granted

    def release(self, amount: int) -> None:
        """Give units back."""
        self.free += amount
        self._grant()

    def _grant(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.free:
            amount, granted = self._waiting[0]
            if granted.cancelled():
                return  # its own acquire is about to take it off the queue, and grants on
            self._waiting.popleft()
            self.free -= amount
            granted.set_result(None)


class Lease:
    """What one request holds; given back once.

    A lease `under` another keeps that one's room taken: a body that a thread still reads outlives its request.
    """

    def __init__(self, under: Lease | None = None) -> None:
        self._held: list[tuple[Pool, int]] = []
        self._under = under
        self._users = 1
        if under is not None:
            under._users += 1

    def take_now(self, pool: Pool, amount: int) -> bool:
        """Take from a pool until `release`, if that needs no waiting."""
        if not pool.take(amount):
            return False
        self._held.append((pool, amount))
        return True

    async def take(self, pool: Pool, amount: int, deadline: float) -> None:
        """Take from a pool until `release`; raises TimeoutError."""
        await pool.acquire(amount, deadline)
        self._held.append((pool, amount))

    def hand_over(self, amount: int, to: Lease) -> None:
        """Let another lease have a part of what was taken last."""
        pool, held = self._held.pop()
        self._held.append((pool, held - amount))
        to._held.append((pool, amount))

    def release(self) -> None:
        """Give everything back, once no lease under this one is left; to be called once by each owner."""
        self._users -= 1
        if self._users:
            return
        held, self._held = self._held, []
        for pool, amount in reversed(held):
            pool.release(amount)
        if self._under is not None:
            self._under.release()
