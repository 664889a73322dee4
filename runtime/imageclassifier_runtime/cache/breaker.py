"""Stops asking a server that does not answer, and tries it again now and then, one question at a time."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from imageclassifier_runtime.logs import log, warn

if TYPE_CHECKING:
    from collections.abc import Callable

_FAILURES = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_logger = logging.getLogger(__name__)


class Breaker:
    """Open after some failures in a row; while it is open, one question is let through after each pause.

    Every question that `admit` let through has to end in `succeeded`, `failed` or `abandoned`, with the number
    that it got. The end of one that was asked before the breaker opened is no news, and changes nothing. Only a
    change is logged, under the name of the `operation`; `changed` is told whether questions are asked.
    """

    def __init__(
        self, operation: str, changed: Callable[[bool], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._operation = operation
        self._changed = changed
        self._clock = clock
        self._failures = 0
        self._pause = _FIRST_PAUSE
        self._next: float | None = None  # None while it is closed
        self._trying = False
        # How often it has opened: what tells a question asked since then from those before.
        self._era = 0
        changed(True)

    def admit(self) -> int | None:
        """Return the number to end a question with, or None where it is not to be asked now."""
        if self._next is not None:
            if self._trying or self._clock() < self._next:
                return None
            self._trying = True
        return self._era

    def succeeded(self, number: int) -> None:
        """Note an answer."""
        if number != self._era:
            return
        self._failures = 0
        self._trying = False
        if self._next is not None:
            self._next = None
            self._pause = _FIRST_PAUSE
            self._changed(True)
            log(_logger, "Redis answers again", operation=self._operation)

    def failed(self, number: int, error: Exception) -> None:
        """Note that there was none, and why; the error's text is not logged, since the server writes it."""
        if number != self._era:
            return
        self._failures += 1
        self._trying = False
        if self._next is not None:
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            self._next = self._clock() + self._pause
        elif self._failures >= _FAILURES:
            self._era += 1
            self._next = self._clock() + self._pause
            self._changed(False)
            cause = type(error).__name__
            warn(_logger, "Redis does not answer; going on without", operation=self._operation, cause=cause)

    def abandoned(self, number: int) -> None:
        """Note that nobody waited for the answer."""
        if number == self._era:
            self._trying = False
