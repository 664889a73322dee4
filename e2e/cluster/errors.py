"""The error of the local cluster, which users see as a sentence rather than as a traceback."""

from __future__ import annotations

from tools.errors import ToolError


class ClusterError(ToolError):
    """Says what cannot go on and, where it is known, what to do about it."""
