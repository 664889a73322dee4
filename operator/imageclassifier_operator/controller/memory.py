"""Remembers what each object and its children were at its last reconcile, so that nothing is read again in vain.

The versions come from the watches. So an object at rest costs no request at the resync, and a poll reads only what
is not watched. If a watch is not current, nothing is known, and everything is read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imageclassifier_operator.controller.workqueue import Key
from imageclassifier_operator.naming import child_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from imageclassifier_operator.controller.watches import KindWatch
    from imageclassifier_operator.reconcile import Outcome, Pass

LONGEST_USE_SECONDS = 300.0
"""After this time everything about an object that is polled is read again, also if no watch reports a change."""

LONGEST_REST_SECONDS = 3600.0
"""The same for an object at rest."""


@dataclass(frozen=True, kw_only=True)
class Versions:
    """The resource version of an object, and the UIDs and resource versions of its children and pods."""

    version: str
    children: frozenset[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class _Record:
    """What a reconcile has found, for which versions, and when; nothing of an object at rest, to save memory."""

    versions: Versions
    passed: Pass | None
    recorded_at: float


class Memory:
    """The last reconcile of each object, as long as nothing that is watched has changed since."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._watches: dict[str | None, list[KindWatch]] = {}
        self._records: dict[Key, _Record] = {}

    def add(self, namespace: str | None, watch: KindWatch) -> None:
        """Use a watch of a namespace, or of all of them (None)."""
        self._watches.setdefault(namespace, []).append(watch)

    def versions(self, key: Key, version: str | None) -> Versions | None:
        """Return the present versions of an object, whose own is given, and its children; None if not known."""
        watches = [*self._watches.get(None, ()), *self._watches.get(key.namespace, ())]
        if version is None or not watches or not all(watch.current for watch in watches):
            return None
        owners = {key, Key(key.namespace, child_name(key.name))}
        return Versions(version=version, children=frozenset(_children(watches, owners)))

    def record(self, key: Key, versions: Versions | None, outcome: Outcome) -> None:
        """Record a reconcile that began at these versions. One that reused what was recorded keeps its time."""
        known = self._records.pop(key, None)
        passed = outcome.passed
        if versions is None or passed is None or passed.live["metadata"]["resourceVersion"] != versions.version:
            return
        reused = known is not None and known.passed is passed
        recorded_at = known.recorded_at if known is not None and reused else self._clock()
        kept = None if outcome.at_rest else passed
        self._records[key] = _Record(versions=versions, passed=kept, recorded_at=recorded_at)

    def unchanged(self, key: Key, versions: Versions | None) -> Pass | None:
        """Return what was read and applied at these versions, if that was not long ago."""
        known = self._records.get(key)
        if known is None or known.versions != versions or self._is_older(known, LONGEST_USE_SECONDS):
            return None
        return known.passed

    def is_at_rest(self, key: Key, versions: Versions | None) -> bool:
        """Whether the object and its children have not changed since a reconcile that left nothing to do."""
        known = self._records.get(key)
        if known is None or known.versions != versions or self._is_older(known, LONGEST_REST_SECONDS):
            return False
        return known.passed is None

    def _is_older(self, record: _Record, seconds: float) -> bool:
        return self._clock() - record.recorded_at >= seconds

    def forget(self, key: Key | None = None) -> None:
        """Drop what is known about an object or, without a key, about all of them."""
        if key is None:
            self._records.clear()
        else:
            self._records.pop(key, None)


def _children(watches: Iterable[KindWatch], owners: Iterable[Key]) -> Iterable[tuple[str, str]]:
    return (found for watch in watches for owner in owners for found in watch.versions(owner))
