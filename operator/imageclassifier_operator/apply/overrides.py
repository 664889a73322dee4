"""Remembers the fields that the API server overrides, so that they are not applied at every reconcile.

A mutating admission policy or webhook runs after the API server has merged an applied manifest, and can change any
field of the result. The response then differs from the manifest, and so does every later read: without a record,
each event would cause another write that changes nothing. The record is only an optimization: if the process
restarts, it is lost, and each overridden child is written once more.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from imageclassifier_operator.apply.difference import Difference

FIRST_PAUSE_SECONDS = 30.0
MAX_PAUSE_SECONDS = 300.0
"""The interval of the resync. The removal of a policy is noticed after this time at the latest."""


@dataclass(frozen=True, kw_only=True)
class _Record:
    """The result of a write that left differences: the object, the desired object (digest), the observed values.

    pause: the seconds without a write after it. due: when the next write may happen, by the clock.
    """

    uid: str
    desired: str
    observed: frozenset[str]
    pause: float
    due: float


class Overrides:
    """Records of the children whose last write was overridden.

    The key of a record is the namespace and name of the ImageClassifier, and the kind of the child.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._records: dict[tuple[str, str, str], _Record] = {}

    def pause(
        self,
        owner: tuple[str, str],
        live: Mapping[str, Any],
        desired: Mapping[str, Any],
        found: Sequence[Difference],
    ) -> float:
        """Return the seconds until a write is worthwhile, or 0 if it is now.

        During the pause, no write is worthwhile if the desired object is the same as at the last write, and if the
        last write left all of the differences that are found now.
        """
        record = self._record_of(owner, live, desired)
        if record is None or not _values(found) <= record.observed:
            return 0.0
        return max(0.0, record.due - self._clock())

    def others(
        self,
        owner: tuple[str, str],
        live: Mapping[str, Any],
        desired: Mapping[str, Any],
        found: Sequence[Difference],
    ) -> list[Difference]:
        """Return the differences that the last write has not left."""
        record = self._record_of(owner, live, desired)
        return [each for each in found if record is None or not _values([each]) <= record.observed]

    def _record_of(
        self, owner: tuple[str, str], live: Mapping[str, Any], desired: Mapping[str, Any]
    ) -> _Record | None:
        """Return the record of the last write, if it was to this object, and with this desired object."""
        record = self._records.get((*owner, desired["kind"]))
        if record is None or record.uid != live["metadata"]["uid"] or record.desired != digest_of(desired):
            return None
        return record

    def record(
        self,
        owner: tuple[str, str],
        live: Mapping[str, Any],
        desired: Mapping[str, Any],
        remaining: Sequence[Difference],
    ) -> bool:
        """Record the differences that remain after a write, and return whether any of the fields is a new one."""
        key = (*owner, desired["kind"])
        last = self._records.pop(key, None)
        if not remaining:
            return False
        uid, digest, observed = live["metadata"]["uid"], digest_of(desired), _values(remaining)
        is_new, pause = True, FIRST_PAUSE_SECONDS
        if last is not None and (last.uid, last.desired) == (uid, digest):
            # Only paths are compared: otherwise, a policy that sets another value each time would reset the pause.
            is_new = not _paths(observed) <= _paths(last.observed)
            pause = pause if is_new else min(last.pause * 2, MAX_PAUSE_SECONDS)
        due = self._clock() + pause
        self._records[key] = _Record(uid=uid, desired=digest, observed=observed, pause=pause, due=due)
        return is_new

    def forget(self, owner: tuple[str, str]) -> None:
        """Drop the records of the children of a deleted ImageClassifier."""
        for key in [key for key in self._records if key[:2] == owner]:
            del self._records[key]


def digest_of(desired: Mapping[str, Any]) -> str:
    """Return a hash of a desired object."""
    return hashlib.sha256(json.dumps(desired, sort_keys=True).encode()).hexdigest()


def _values(found: Sequence[Difference]) -> frozenset[str]:
    return frozenset(json.dumps([difference.path, difference.observed], sort_keys=True) for difference in found)


def _paths(values: frozenset[str]) -> frozenset[str]:
    return frozenset(json.loads(value)[0] for value in values)
