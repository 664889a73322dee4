"""The error of the local cluster, printed without a traceback."""

from __future__ import annotations

from tools.errors import ToolError


class ClusterError(ToolError):
    """The message says what failed and, if known, how to fix it."""
