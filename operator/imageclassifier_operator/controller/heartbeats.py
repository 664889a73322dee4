"""Knows which parts of the process show no sign of life any more, for the kubelet's liveness probe.

A part that fails ends the process by itself. This finds one that hangs: each sign of life says how long it may be
until the next one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Heartbeats:
    """The parts of the process, each with the time until which it has to show its next sign of life."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limits: dict[str, tuple[float, float]] = {}

    def beat(self, part: str, *, within: float) -> None:
        """Report a sign of life of a part; the next one follows within that many seconds."""
        now = self._clock()
        self._limits[part] = (now, now + within)

    def rest(self, part: str) -> None:
        """Report that a part waits for work, for any time."""
        self._limits.pop(part, None)

    def silent(self) -> list[str]:
        """Return the parts that are overdue, each with the time since its last sign of life."""
        now = self._clock()
        return [
            f"{part}: silent for {now - last:.0f} s" for part, (last, end) in self._limits.items() if now > end
        ]
