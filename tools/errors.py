"""The one error that users see as a sentence rather than as a traceback."""

from __future__ import annotations


class ToolError(Exception):
    """Says what cannot go on and, if it is known, what to do about it."""
