"""A circuit breaker: stops sending commands to a failing Redis, and tries one from time to time."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from imageclassifier_runtime.logs import log, warn

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_FAILURES = 3
_FIRST_PAUSE, _MAX_PAUSE = 1.0, 30.0
_logger = logging.getLogger(__name__)


class CircuitBreaker:
    """Opens after consecutive failures; while it is open, one command is admitted after each pause.

    For every admitted command, the caller must call `succeeded`, `failed` or `abandoned` with the number that
    `admit` returned. Outcomes of commands from before the breaker opened are ignored. Only changes are logged,
    with the `operation`; `on_change` is called with whether commands are admitted.
    """

    def __init__(
        self, operation: str, on_change: Callable[[bool], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._operation = operation
        self._on_change = on_change
        self._clock = clock
        self._failures = 0
        self._pause = _FIRST_PAUSE
        self._next_trial: float | None = None  # None while closed
        self._trying = False
        # How often the breaker has opened: distinguishes commands admitted since then from older ones.
        self._generation = 0
        on_change(True)

    def admit(self) -> int | None:
        """Return the number for reporting the outcome of a command, or None if none may be sent now."""
        if self._next_trial is not None:
            if self._trying or self._clock() < self._next_trial:
                return None
            self._trying = True
        return self._generation

    def succeeded(self, number: int) -> None:
        """Record that a command succeeded."""
        if number != self._generation:
            return
        self._failures = 0
        self._trying = False
        if self._next_trial is not None:
            self._next_trial = None
            self._pause = _FIRST_PAUSE
            self._on_change(True)
            log(_logger, "Redis recovered", operation=self._operation)

    def failed(self, number: int, error: Exception) -> None:
        """Record that a command failed; the error's text is not logged, because it may come from the server."""
        if number != self._generation:
            return
        self._failures += 1
        self._trying = False
        if self._next_trial is not None:
            self._pause = min(2 * self._pause, _MAX_PAUSE)
            self._next_trial = self._clock() + self._pause
        elif self._failures >= _MAX_FAILURES:
            self._generation += 1
            self._next_trial = self._clock() + self._pause
            self._on_change(False)
            cause = type(error).__name__
            warn(_logger, "Redis unavailable, continuing without it", operation=self._operation, cause=cause)

    def abandoned(self, number: int) -> None:
        """Record that a command was cancelled, so that its outcome is unknown."""
        if number == self._generation:
            self._trying = False
