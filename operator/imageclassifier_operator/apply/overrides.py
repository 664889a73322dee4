"""Remembers the fields that the API server overrides, so that they are not applied at every reconcile.

A mutating admission policy or webhook sees a manifest after server-side apply and can change any field of it. The
response then differs from what was applied, and so does every later read: without a record, each event would cause
another write that changes nothing. The record is only an optimization: it is lost with the process, at the cost of
one write for each overridden child.
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
LONGEST_PAUSE_SECONDS = 300.0
"""Like the resync: the removal of a policy is noticed after this time at the latest."""


@dataclass(frozen=True, kw_only=True)
class _Record:
    """What a write did not change: the UID of the live object, the desired object, the observed values."""

    uid: str
    desired: str
    observed: frozenset[str]
    pause: float
    due: float


class Overrides:
    """The children whose last write was overridden, by namespace and name of their owner and their own kind."""

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
        """Return the seconds for which a write would change nothing, 0 if it may change something.

        It changes nothing while the desired object is the same and the last write left each of the differences.
        """
        record = self._records.get((*owner, desired["kind"]))
        if record is None or record.uid != live["metadata"]["uid"] or record.desired != _digest(desired):
            return 0.0
        return max(0.0, record.due - self._clock()) if _values(found) <= record.observed else 0.0

    def record(
        self,
        owner: tuple[str, str],
        live: Mapping[str, Any],
        desired: Mapping[str, Any],
        left: Sequence[Difference],
    ) -> bool:
        """Record what still differs after a write, and return whether it includes a new field."""
        key = (*owner, desired["kind"])
        last = self._records.pop(key, None)
        if not left:
            return False
        uid, digest, observed = live["metadata"]["uid"], _digest(desired), _values(left)
        is_new, pause = True, FIRST_PAUSE_SECONDS
        if last is not None and (last.uid, last.desired) == (uid, digest):
            # By path: a policy that sets another value at each write would otherwise cause a write each time.
            is_new = not _paths(observed) <= _paths(last.observed)
            pause = pause if is_new else min(last.pause * 2, LONGEST_PAUSE_SECONDS)
        due = self._clock() + pause
        self._records[key] = _Record(uid=uid, desired=digest, observed=observed, pause=pause, due=due)
        return is_new

    def forget(self, owner: tuple[str, str]) -> None:
        """Drop the records of a deleted owner's children."""
        for key in [key for key in self._records if key[:2] == owner]:
            del self._records[key]


def _digest(desired: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(desired, sort_keys=True).encode()).hexdigest()


def _values(found: Sequence[Difference]) -> frozenset[str]:
    return frozenset(json.dumps([difference.path, difference.observed], sort_keys=True) for difference in found)


def _paths(values: frozenset[str]) -> frozenset[str]:
    return frozenset(json.loads(value)[0] for value in values)
