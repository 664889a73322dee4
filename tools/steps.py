"""Tells a person which step a command is in, with the time since the whole command began."""

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
"""Unix time at which the outermost command began, so that the programs it calls share its clock."""

_PRINTING = threading.RLock()
"""Steps that run at the same time take turns at printing."""

_STARTED = float(os.environ.setdefault(STARTED_VARIABLE, str(time.time())))


def elapsed() -> float:
    """Seconds since the outermost command began."""
    return max(0.0, time.time() - _STARTED)


def say(text: str) -> None:
    """Print one line under the shared clock; a progress line on a terminal gives way to it."""
    with _PRINTING:
        clear = "\r\033[K" if sys.stdout.isatty() else ""
        print(f"{clear}[{elapsed():7.1f}s] {text}", flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what begins, and how long it took if that was noticeable."""
    say(f"{text} …")
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    if took >= 0.5:
        say(f"{text}: done in {took:.1f} s")


class Progress:
    """One line that is rewritten on a terminal, and repeated now and then in a log."""

    def __init__(self, *, every_seconds: float = 15.0) -> None:
        self._terminal = sys.stdout.isatty()
        self._every = every_seconds
        self._last = 0.0

    def show(self, text: str) -> None:
        """Show the present state; cheap enough to be called every second."""
        now = time.monotonic()
        if self._terminal:
            with _PRINTING:
                print(f"\r\033[K[{elapsed():7.1f}s]   {text}", end="", flush=True)
        elif now - self._last >= self._every:
            say(f"  {text}")
            self._last = now

    def close(self) -> None:
        """Leave the terminal's line empty for what comes next."""
        if self._terminal:
            print("\r\033[K", end="", flush=True)
