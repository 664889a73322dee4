"""Waits for what is to happen, never for a time, and says what came instead."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from e2e.cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class NotInTimeError(ClusterError):
    """What was waited for did not happen."""


def until(
    probe: Callable[[], T | None],
    *,
    seconds: float,
    what: str,
    every: float = 0.1,
    otherwise: Callable[[], str] = lambda: "",
) -> T:
    """Return the first thing that `probe` gives; None and False mean not yet.

    `otherwise` tells what is so instead, for the error.

    Raises:
        NotInTimeError: nothing came in `seconds`.
    """
    end = time.monotonic() + seconds
    while True:
        found = probe()
        if found is not None and found is not False:
            return found
        if time.monotonic() > end:
            instead = otherwise()
            raise NotInTimeError(f"waited {seconds:.0f} s for {what}{f'; now: {instead}' if instead else ''}")
        time.sleep(every)
