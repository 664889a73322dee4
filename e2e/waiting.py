"""Waits for a condition, not for a fixed time, and reports the last state on timeout."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from e2e.cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class WaitTimeoutError(ClusterError):
    """The condition was not met in time."""


def until(
    probe: Callable[[], T | None],
    *,
    seconds: float,
    what: str,
    every: float = 0.1,
    describe: Callable[[], str] = lambda: "",
) -> T:
    """Return the first result of `probe` that is neither None nor False.

    `describe` returns the actual state as text, for the error.

    Raises:
        WaitTimeoutError: no result within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found is not None and found is not False:
            return found
        if time.monotonic() > deadline:
            actual = describe()
            suffix = f"; now: {actual}" if actual else ""
            raise WaitTimeoutError(f"timed out after {seconds:.0f} s waiting for {what}{suffix}")
        time.sleep(every)
