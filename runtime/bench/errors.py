"""What keeps a benchmark from being run or finished."""

from __future__ import annotations


class BenchError(Exception):
    """A cause that a person can act on; its text is shown alone."""
