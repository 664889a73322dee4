"""Accepts a revision only after growing pauses while a second operator accepts another one again and again.

Both would replace all pods of the object in turn. In a pause, the Deployment keeps what the other one accepted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imageclassifier_operator.apply import Contests, Difference
from imageclassifier_operator.kube import CONTROLLER_REVISIONS
from imageclassifier_operator.ownership import MANAGER
from imageclassifier_operator.revisions.decision import Decision
from imageclassifier_operator.revisions.revision import Cause, Revision

if TYPE_CHECKING:
    from imageclassifier_operator.revisions.history import Resolved

_KIND = CONTROLLER_REVISIONS.kind
_WAITS_FOR = "a second operator accepts another revision again and again; stop one of the two"


def paced(
    resolved: Resolved, contests: Contests, owner: tuple[str, str], *, uid: str, adopt: str | None
) -> tuple[Resolved, float]:
    """Return the decision, or one that waits, and the seconds until it is due (0: now).

    A changed spec never waits. A spec or an operator that renders another revision, and another value of the
    annotation, start a new count.

    uid: of the ImageClassifier. adopt: the revision that its annotation names.
    """
    decision = resolved.decision
    rendered = (decision.candidate or decision.accepted).name
    contests.expect(owner, {"kind": _KIND, "name": rendered, "uid": uid, "adopt": adopt})
    if decision.before is None or decision.accepted.cause is Cause.SPEC_CHANGED:
        return resolved, 0.0
    pause = contests.pause(owner, _KIND, [_difference(decision)])
    if not pause:
        return resolved, 0.0
    stored = (Revision.stored(item) for item in resolved.stored)
    candidate = next((each for each in stored if each.name == rendered), None)
    waiting = Decision(
        accepted=decision.before,
        candidate=candidate or replace(decision.accepted, number=0, cause=None, spec=None),
        waits_for=_WAITS_FOR,
    )
    return replace(resolved, decision=waiting), pause


def count_acceptance(decision: Decision, contests: Contests, owner: tuple[str, str]) -> None:
    """Count that a revision was accepted instead of another one."""
    if decision.before is not None:
        contests.record(owner, {"kind": _KIND, "metadata": {}}, [_difference(decision)], ours={MANAGER})


def _difference(decision: Decision) -> Difference:
    return Difference(path="revision", desired=decision.accepted.name, observed=None)
