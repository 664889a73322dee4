"""Retries transient failures with exponential backoff, jitter and Retry-After, within a deadline."""

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
_MAX_PAUSE_SECONDS = 8.0
_logger = logging.getLogger(__name__)


def retrying(
    attempt: Callable[[], T],
    settings: FetchSettings,
    deadline: float,
    *,
    progress: Callable[[], int] = lambda: 0,
) -> T:
    """Return what `attempt` returns; raises ModelError if attempts make no progress or the deadline has passed.

    `settings.attempts` limits consecutive attempts without progress: whenever `progress` (the maximum number of
    bytes received so far) has grown, counting restarts, so that a bad connection makes a download slow, but does
    not fail it. `deadline` is in `time.monotonic()` seconds.
    """
    attempts = without_progress = max_progress = 0
    while True:
        attempts += 1
        try:
            return attempt()
        except TransientError as error:
            if time.monotonic() >= deadline:
                text = f"{error.message}; not fetched within {settings.timeout_seconds:g} s"
                raise ModelError(UNREACHABLE, text) from error
            without_progress = 1 if progress() > max_progress else without_progress + 1
            max_progress = max(max_progress, progress())
            pause = _pause(without_progress, error.retry_after)
            if without_progress >= settings.attempts or time.monotonic() + pause >= deadline:
                requested = f", Retry-After: {error.retry_after:.0f} s" if error.retry_after else ""
                raise ModelError(UNREACHABLE, f"{error.message} (after {attempts} attempts{requested})") from error
            cause, pause_s = error.message, round(pause, 3)
            warn(_logger, "Attempt failed, retrying", attempt=attempts, cause=cause, pause_s=pause_s)
            time.sleep(pause)


def _pause(without_progress: int, retry_after: float | None) -> float:
    backoff = min(_MAX_PAUSE_SECONDS, 2.0 ** (without_progress - 1))
    return max(random.uniform(0.5, 1.0) * backoff, retry_after or 0.0)  # noqa: S311 - jitter, not a secret
