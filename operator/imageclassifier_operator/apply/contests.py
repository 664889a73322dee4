"""Remembers which fields others set back after a write, so that two writers do not fight at full speed.

An autoscaler, a GitOps tool or a second operator that wants another value writes it again after each of our
writes. Each write can start a rollout. So after some rounds the operator writes only after pauses, which double.
The record is in memory; a new process writes at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.apply.intruders import readable
from imageclassifier_operator.apply.overrides import digest_of
from imageclassifier_operator.status import ContestedField

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from imageclassifier_operator.apply.difference import Difference

FREE_WRITES = 3
"""The number of writes to a field without a pause. Until then, it may have been a person who tried something."""

FIRST_PAUSE_SECONDS = 5.0
MAX_PAUSE_SECONDS = 300.0
SETTLING_SECONDS = 60.0
"""A write of a contested field counts as lasting after this time, or after the pause if that is shorter."""

QUIET_SECONDS = 600.0
"""After this time without a write, a field is no longer contested. It is longer than a pause."""


@dataclass(frozen=True, kw_only=True)
class _Field:
    """A field that was written: how often in a row, when last, and who had changed it."""

    writes: int
    written_at: float
    writer: str | None

    @property
    def contested(self) -> bool:
        return self.writes >= FREE_WRITES

    @property
    def pause(self) -> float:
        doublings = min(self.writes - FREE_WRITES, 10)
        return min(FIRST_PAUSE_SECONDS * 2.0**doublings, MAX_PAUSE_SECONDS)


class Contests:
    """The fields written again and again for the same desired object, by ImageClassifier, kind and path."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._fields: dict[tuple[str, str], dict[tuple[str, str], _Field]] = {}
        self._desired: dict[tuple[str, str], dict[str, str]] = {}

    def expect(self, owner: tuple[str, str], desired: Mapping[str, Any]) -> None:
        """Drop what is known about a child if another object is desired than before: nobody has set that back."""
        digest, known = digest_of(desired), self._desired.setdefault(owner, {})
        if known.get(desired["kind"]) != digest:
            known[desired["kind"]] = digest
            fields = self._fields.get(owner, {})
            for key in [key for key in fields if key[0] == desired["kind"]]:
                del fields[key]

    def pause(self, owner: tuple[str, str], kind: str, found: Sequence[Difference]) -> float:
        """Return the seconds until a write is due, or 0 if it is due now: always if a field is not contested."""
        fields = [self._last(owner, kind, each) for each in found]
        contested = [field for field in fields if field is not None and field.contested]
        if len(contested) < len(fields):
            return 0.0
        return max(0.0, min((field.written_at + field.pause for field in contested), default=0.0) - self._clock())

    def record(
        self,
        owner: tuple[str, str],
        before: Mapping[str, Any],
        found: Sequence[Difference],
        *,
        ours: Collection[str],
    ) -> None:
        """Record that the differences found in a live object were written. `ours` are our field managers."""
        kind = before["kind"]
        fields = self._fields.setdefault(owner, {})
        for each in found:
            last = self._last(owner, kind, each)
            writes = 1 if last is None else last.writes + 1
            fields[kind, each.path] = _Field(
                writes=writes,
                written_at=self._clock(),
                writer=last_writer(before, each.path, ours=ours),
            )

    def contested(self, owner: tuple[str, str]) -> list[ContestedField]:
        """Return the fields of the children of an ImageClassifier that are contested now; others are forgotten."""
        fields = self._fields.get(owner, {})
        for key in [key for key, field in fields.items() if self._is_over(field)]:
            del fields[key]
        return [
            ContestedField(kind=kind, path=path, manager=field.writer)
            for (kind, path), field in sorted(fields.items())
            if field.contested
        ]

    def seconds_left(self, owner: tuple[str, str]) -> float | None:
        """Return the seconds until a contest is over if nobody sets a field back, or None without a contest."""
        ends = [
            field.written_at + QUIET_SECONDS for field in self._fields.get(owner, {}).values() if field.contested
        ]
        return max(0.0, min(ends) - self._clock()) if ends else None

    def unsettled(self, owner: tuple[str, str], kinds: Collection[str]) -> float:
        """Return the seconds until it is likely that the last write of a contested field lasts, or 0.

        So an object is not taken for Ready in the moment between our write and that of somebody else.

        kinds: the children whose fields count.
        """
        fields = self._fields.get(owner, {}).items()
        ends = [
            field.written_at + min(field.pause, SETTLING_SECONDS)
            for (kind, _), field in fields
            if kind in kinds and field.contested
        ]
        return max(0.0, max(ends, default=0.0) - self._clock())

    def forget(self, owner: tuple[str, str]) -> None:
        """Drop the records of a deleted ImageClassifier."""
        self._fields.pop(owner, None)
        self._desired.pop(owner, None)

    def _last(self, owner: tuple[str, str], kind: str, found: Difference) -> _Field | None:
        """Return the last write of a field, if it was not long ago."""
        last = self._fields.get(owner, {}).get((kind, found.path))
        return None if last is None or self._is_over(last) else last

    def _is_over(self, field: _Field) -> bool:
        return self._clock() - field.written_at >= QUIET_SECONDS


def last_writer(live: Mapping[str, Any], path: str, *, ours: Collection[str]) -> str | None:
    """Return the other field manager that wrote a field last, or None if it is not known.

    It is not if another operator writes under the name of ours, or if the field was removed.

    path: as in `Difference`.
    """
    writers = [
        entry
        for entry in live["metadata"].get("managedFields") or []
        if entry.get("manager") not in ours and _owns(entry.get("fieldsV1") or {}, path)
    ]
    last: Mapping[str, Any] = max(writers, key=lambda entry: str(entry.get("time") or ""), default={})
    return last.get("manager")


def _owns(fields: Mapping[str, Any], path: str) -> bool:
    """Whether the field at a path, or one that contains it as a whole, is in `metav1.FieldsV1`."""
    if not fields or not path:
        return True
    for step, inner in fields.items():
        name = readable(step)
        if path == name or (path.startswith(f"{name}.") and _owns(inner, path.removeprefix(f"{name}."))):
            return True
    return False
