"""The error of a benchmark that cannot run or finish."""

from __future__ import annotations


class BenchError(Exception):
    """The message names a cause that the user can fix; it is printed without a traceback."""
