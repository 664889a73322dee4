"""The one error that a person sees as a sentence rather than as a traceback."""

from __future__ import annotations


class ClusterError(Exception):
    """Says what cannot go on and, where it is known, what to do about it."""
