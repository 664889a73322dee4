"""Configures glibc to return freed image memory immediately, so that a burst of images does not stay resident.

By default, glibc raises its mmap threshold to 32 MiB as large blocks are freed and keeps one arena per thread, and
a server that has processed a few images of 100 MB never shrinks again.
"""

from __future__ import annotations

import ctypes
from typing import Any

_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_ARENA_MAX = -8

_MMAP_FROM = 1024 * 1024
_TRIM_FROM = 8 * 1024 * 1024


def configure(arenas: int) -> bool:
    """Set the thresholds and the number of arenas; return whether this libc accepted them."""
    mallopt = _function("mallopt")
    if mallopt is None:
        return False
    options = ((_ARENA_MAX, arenas), (_MMAP_THRESHOLD, _MMAP_FROM), (_TRIM_THRESHOLD, _TRIM_FROM))
    return all(mallopt(option, value) == 1 for option, value in options)


def trim() -> None:
    """Return free memory to the system."""
    malloc_trim = _function("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _function(name: str) -> Any:
    """Return a function of the C library, or None if it does not exist."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
