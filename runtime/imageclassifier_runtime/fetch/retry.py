"""Tries again what may yet succeed: with growing, jittered pauses, as the server asks, inside one deadline."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, TypeVar

from imageclassifier_runtime.errors import UNREACHABLE, ModelError
from imageclassifier_runtime.fetch.transport import TransientError
from imageclassifier_runtime.logs import warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from imageclassifier_runtime.settings.commands import FetchSettings

T = TypeVar("T")
_LONGEST_PAUSE = 8.0
_logger = logging.getLogger(__name__)


def retrying(
    attempt: Callable[[], T],
    settings: FetchSettings,
    deadline: float,
    *,
    progress: Callable[[], int] = lambda: 0,
) -> T:
    """Return what `attempt` returns; raises ModelError once it makes no headway or its time is up.

    `settings.attempts` are those in a row that bring nothing new: whenever `progress` (the most bytes ever there)
    has grown, they are counted from one again, so that a poor line is slow and not fatal. `deadline` is
    in `time.monotonic()` seconds.
    """
    tries = fruitless = most = 0
    while True:
        tries += 1
        try:
            return attempt()
        except TransientError as error:
            if time.monotonic() >= deadline:
                text = f"{error.message}; not fetched within {settings.timeout_seconds:g} s"
                raise ModelError(UNREACHABLE, text) from error
            fruitless = 1 if progress() > most else fruitless + 1
            most = max(most, progress())
            pause = _pause(fruitless, error.retry_after)
            if fruitless >= settings.attempts or time.monotonic() + pause >= deadline:
                asked = f", asked to wait for {error.retry_after:.0f} s" if error.retry_after else ""
                raise ModelError(UNREACHABLE, f"{error.message} (after {tries} attempts{asked})") from error
            warn(_logger, "Attempt failed", attempt=tries, cause=error.message, pause_s=round(pause, 3))
            time.sleep(pause)


def _pause(fruitless: int, retry_after: float | None) -> float:
    own = random.uniform(0.5, 1.0) * min(_LONGEST_PAUSE, 2.0 ** (fruitless - 1))  # noqa: S311 - jitter, no secret
    return max(own, retry_after or 0.0)
