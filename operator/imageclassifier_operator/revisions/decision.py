"""Decides with a pure function which revision the Deployment gets: the accepted one, or the candidate instead."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imageclassifier_operator.revisions.changes import changes, summary
from imageclassifier_operator.revisions.revision import ADOPT_ANNOTATION, Cause, Revision
from imageclassifier_operator.status import Revisions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_MAX_NAME = 253

UNTIL_READY = f"it is adopted once the object is Ready, or by the annotation {ADOPT_ANNOTATION}"
"""What a candidate waits for if only some pods of the object serve: a restart could stop them, too."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What decides about a candidate.

    spec_changed: whether the spec has changed since the last reconcile, in a way that changes the template.
    was_ready: whether the object was ever Ready with the accepted revision.
    ready: whether it is Ready now.
    serves: whether at least one of its pods is ready.
    manual: whether `spec.upgrade` is Manual.
    adopt: the revision that the annotation names.
    turn: asks whether it is the object's turn in the operator's upgrade. Returns None if it is, or what the object
        waits for.
    """

    spec_changed: bool
    was_ready: bool
    ready: bool
    serves: bool
    manual: bool
    adopt: str | None
    turn: Callable[[], str | None]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The revision that the Deployment gets.

    before: the revision that was accepted before, if another one is accepted now.
    candidate: the revision that the operator renders now, if it is not accepted.
    waits_for: what the candidate waits for.
    unknown: the revision that the annotation names, if there is no such revision.
    """

    accepted: Revision
    before: Revision | None = None
    candidate: Revision | None = None
    waits_for: str = ""
    unknown: str | None = None

    @property
    def message(self) -> str:
        """A sentence about the revision that was accepted now, or about the candidate; else empty."""
        if self.before is not None:
            what = summary(changes(self.before.template, self.accepted.template))
            return f"Revision {self.accepted.name} is accepted ({self.accepted.cause}): {what}"
        if self.candidate is None:
            return ""
        what = summary(changes(self.accepted.template, self.candidate.template))
        return f"UpgradeAvailable: revision {self.candidate.name} ({what}) is not adopted yet: {self.waits_for}"

    @property
    def observed(self) -> Revisions:
        """What the status says about the revisions."""
        return Revisions(
            accepted=self.accepted.name,
            candidate=None if self.candidate is None else self.candidate.name,
            message="; ".join(filter(None, ["" if self.before is not None else self.message, self._unknown])),
        )

    @property
    def _unknown(self) -> str:
        if self.unknown is None:
            return ""
        name = self.unknown[:_MAX_NAME]
        return f"The annotation {ADOPT_ANNOTATION} names {name}, which is no revision of this object"


def latest(history: Sequence[Revision]) -> Revision | None:
    """Return the accepted revision: the one with the highest number, if one was ever accepted."""
    return max((each for each in history if each.number), key=lambda each: each.number, default=None)


def decide(accepted: Revision, rendered: Revision, history: Sequence[Revision], situation: Situation) -> Decision:
    """Return whether the rendered revision is accepted now, or is a candidate that waits."""
    names = {rendered.name, accepted.name, *(each.name for each in history)}
    unknown = situation.adopt if situation.adopt and situation.adopt not in names else None
    if rendered.name == accepted.name:
        return Decision(accepted=accepted, unknown=unknown)
    candidate = next((each for each in history if each.name == rendered.name), rendered)
    cause, waits_for = _cause(accepted, candidate, situation)
    if cause is None:
        return Decision(accepted=accepted, candidate=candidate, waits_for=waits_for, unknown=unknown)
    number = max(each.number for each in (accepted, *history)) + 1
    return Decision(accepted=replace(candidate, number=number, cause=cause), before=accepted)


def _cause(accepted: Revision, candidate: Revision, situation: Situation) -> tuple[Cause | None, str]:
    """Return why the candidate is accepted, or None and what it waits for."""
    if situation.adopt == candidate.name:
        return Cause.ADOPTED, ""
    if situation.spec_changed:
        return Cause.SPEC_CHANGED, ""
    if accepted.cause is Cause.UPGRADED and not situation.was_ready:
        # It repairs an upgrade that failed. The object stays part of the wave, so that the others go on waiting.
        return Cause.UPGRADED, ""
    if situation.manual:
        return None, "spec.upgrade is Manual"
    if not situation.was_ready and not situation.serves:  # nothing is lost, and the candidate may be the repair
        return Cause.NEVER_READY, ""
    is_rollback = candidate.number > 0
    if not situation.ready and situation.serves and not is_rollback:
        return None, UNTIL_READY
    waits_for = situation.turn()
    return (Cause.UPGRADED, "") if waits_for is None else (None, waits_for)
