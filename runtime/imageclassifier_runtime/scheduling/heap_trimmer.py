"""Hands memory back to the system once a crowd has gone: glibc keeps what lies between blocks in use."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from imageclassifier_runtime.system import malloc

if TYPE_CHECKING:
    from collections.abc import Callable

    from imageclassifier_runtime.scheduling.admission import Admission
    from imageclassifier_runtime.scheduling.workers import Workers

# Somebody who sends one image after the other is not to meet it, and neither is anybody often: it takes some ms.
_PAUSE_SECONDS = 0.05
_EVERY_SECONDS = 10.0


class HeapTrimmer:
    """Trims in a worker, when no request has been in any for a while; for one event loop."""

    def __init__(self, admission: Admission, workers: Workers, trim: Callable[[], None] = malloc.trim) -> None:
        self._admission = admission
        self._workers = workers
        self._trim = trim
        self._timer: asyncio.TimerHandle | None = None
        self._since = self._last = -math.inf

    def rest(self) -> None:
        """Note that the last request has left the workers."""
        loop = asyncio.get_running_loop()
        self._since = loop.time()
        if self._timer is None:
            self._timer = loop.call_at(max(self._since + _PAUSE_SECONDS, self._last + _EVERY_SECONDS), self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        if self._admission.running:
            return  # the last of these will be back here
        if now < self._since + _PAUSE_SECONDS:
            self._timer = asyncio.get_running_loop().call_at(self._since + _PAUSE_SECONDS, self._look)
            return
        self._last = now
        self._workers.submit(self._trim, lambda _, __: None)
