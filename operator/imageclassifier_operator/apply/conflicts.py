"""Counts how often in a row a child could not be written, because it had changed since it was read."""

from __future__ import annotations

_TOLERATED = 3


class Conflicts:
    """The counts by ImageClassifier and kind of child. A single one says nothing: the next pass reads again."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], dict[str, int]] = {}

    def record(self, owner: tuple[str, str], kind: str) -> bool:
        """Record one, and return whether it will not pass by itself, since there were several in a row."""
        counts = self._counts.setdefault(owner, {})
        counts[kind] = counts.get(kind, 0) + 1
        return counts[kind] > _TOLERATED

    def clear(self, owner: tuple[str, str], kind: str) -> None:
        """Record that a child was written, or that it needed no write."""
        self._counts.get(owner, {}).pop(kind, None)

    def forget(self, owner: tuple[str, str]) -> None:
        """Drop the counts of a deleted ImageClassifier."""
        self._counts.pop(owner, None)
