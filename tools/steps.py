"""Prints progress lines with the time since the outermost command started."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STARTED_VARIABLE = "IMAGECLASSIFIER_STARTED"
"""Unix time of the outermost command's start, so that the programs it calls share its clock."""

_PRINTING = threading.RLock()
"""Serializes the output of concurrent steps."""

_STARTED = float(os.environ.setdefault(STARTED_VARIABLE, str(time.time())))


def elapsed() -> float:
    """Seconds since the outermost command started."""
    return max(0.0, time.time() - _STARTED)


def say(text: str) -> None:
    """Print one line with the elapsed time; on a terminal it replaces a progress line."""
    with _PRINTING:
        clear = "\r\033[K" if sys.stdout.isatty() else ""
        print(f"{clear}[{elapsed():7.1f}s] {text}", flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Print the start of a step, and its duration if that is at least half a second."""
    say(f"{text} …")
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    if took >= 0.5:
        say(f"{text}: done in {took:.1f} s")


class Progress:
    """A line that is rewritten on a terminal, and repeated at intervals in a log."""

    def __init__(self, *, every_seconds: float = 15.0) -> None:
        self._terminal = sys.stdout.isatty()
        self._every = every_seconds
        self._last = 0.0

    def show(self, text: str) -> None:
        """Show the current state; cheap enough to be called every second."""
        now = time.monotonic()
        if self._terminal:
            with _PRINTING:
                print(f"\r\033[K[{elapsed():7.1f}s]   {text}", end="", flush=True)
        elif now - self._last >= self._every:
            say(f"  {text}")
            self._last = now

    def close(self) -> None:
        """Clear the progress line."""
        if self._terminal:
            print("\r\033[K", end="", flush=True)
