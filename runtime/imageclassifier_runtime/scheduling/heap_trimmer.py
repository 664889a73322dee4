"""Returns memory to the system after a burst of requests: glibc keeps freed blocks between blocks in use."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from imageclassifier_runtime.system import malloc

if TYPE_CHECKING:
    from collections.abc import Callable

    from imageclassifier_runtime.scheduling.admission import Admission
    from imageclassifier_runtime.scheduling.workers import Workers

# Trimming takes some milliseconds: a client that sends images one after the other must not wait for it.
_IDLE_SECONDS = 0.05
_MIN_INTERVAL_SECONDS = 10.0


class HeapTrimmer:
    """Trims the heap in a worker after all workers have been idle for a while; for one event loop."""

    def __init__(self, admission: Admission, workers: Workers, trim: Callable[[], None] = malloc.trim) -> None:
        self._admission = admission
        self._workers = workers
        self._trim = trim
        self._timer: asyncio.TimerHandle | None = None
        self._idle_since = self._last_trim = -math.inf

    def start_idle_period(self) -> None:
        """Start the idle period; called when the last request has left the workers."""
        loop = asyncio.get_running_loop()
        self._idle_since = loop.time()
        if self._timer is None:
            self._timer = loop.call_at(
                max(self._idle_since + _IDLE_SECONDS, self._last_trim + _MIN_INTERVAL_SECONDS), self._trim_if_idle
            )

    def _trim_if_idle(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        if self._admission.running:
            return  # `start_idle_period` is called again after the last one
        if now < self._idle_since + _IDLE_SECONDS:
            self._timer = asyncio.get_running_loop().call_at(self._idle_since + _IDLE_SECONDS, self._trim_if_idle)
            return
        self._last_trim = now
        self._workers.submit(self._trim, lambda _, __: None)
