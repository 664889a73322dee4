"""The error that is printed without a traceback."""

from __future__ import annotations


class ToolError(Exception):
    """The message says what failed and, if known, how to fix it."""
