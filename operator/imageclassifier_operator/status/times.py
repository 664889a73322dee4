"""Compares times in RFC 3339 format, as the API server and the kubelet write them."""

from __future__ import annotations

from datetime import datetime

_RECENT_SECONDS = 600


def is_recent(time: str, *, now: str) -> bool:
    """Whether a time is less than ten minutes before now; also if one of them is not known."""
    passed = seconds_between(time, now)
    return passed is None or passed < _RECENT_SECONDS


def seconds_between(start: str, end: str) -> float | None:
    """Return the seconds from one time to another, or None if one of them is not known."""
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except ValueError:
        return None
