"""When a revision is accepted while a second operator accepts another one again and again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from imageclassifier_operator.apply import Contests
from imageclassifier_operator.revisions import Cause, Decision, Revision, count_acceptance, paced
from imageclassifier_operator.revisions.history import Resolved

OWNER = ("vision", "pets")
OURS = Revision(name="pets-ours", template={"a": 1}, spec={"replicas": 2})
THEIRS = Revision(name="pets-theirs", template={"a": 2}, number=4, cause=Cause.UPGRADED)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def accepted(ours: Revision = OURS, stored: tuple[dict[str, Any], ...] = ()) -> Resolved:
    """Return what is resolved each time: the other operator has accepted its revision, and we accept ours."""
    decision = Decision(accepted=replace(ours, number=5, cause=Cause.UPGRADED), before=THEIRS)
    return Resolved(decision=decision, stored=stored)


def pace(resolved: Resolved, contests: Contests, *, adopt: str | None = None) -> tuple[Resolved, float]:
    return paced(resolved, contests, OWNER, uid="uid-1", adopt=adopt)


def fight(contests: Contests, times: int, resolved: Resolved) -> list[float]:
    """Return the pauses of that many acceptances in a row, none of which is waited for."""
    pauses = []
    for _ in range(times):
        found, pause = pace(resolved, contests)
        pauses.append(pause)
        count_acceptance(found.decision, contests, OWNER)
    return pauses


def test_the_first_three_acceptances_have_no_pause_and_later_ones_a_growing_one() -> None:
    clock = Clock()
    contests = Contests(clock=clock)
    assert fight(contests, 4, accepted()) == [0, 0, 0, 5]
    clock.now = 5
    assert fight(contests, 2, accepted()) == [0, 10]
    clock.now = 15
    assert fight(contests, 2, accepted()) == [0, 20]


def test_in_a_pause_the_revision_of_the_other_operator_is_kept_and_ours_is_a_candidate() -> None:
    contests = Contests(clock=Clock())
    fight(contests, 3, accepted())
    decision = pace(accepted(), contests)[0].decision
    assert decision.accepted == THEIRS
    assert decision.before is None
    assert decision.candidate is not None
    assert (decision.candidate.name, decision.candidate.number) == (OURS.name, 0), "it is not the newest one"
    assert "a second operator" in decision.observed.message


def test_a_contest_is_reported_as_one_about_the_revision() -> None:
    contests = Contests(clock=Clock())
    fight(contests, 3, accepted())
    (field,) = contests.contested(OWNER)
    assert (field.kind, field.path, field.manager) == ("ControllerRevision", "revision", None)


def test_another_spec_is_accepted_at_once() -> None:
    contests = Contests(clock=Clock())
    fight(contests, 4, accepted())
    assert fight(contests, 1, accepted(replace(OURS, name="pets-next"))) == [0]


def test_a_revision_that_is_accepted_already_has_no_pause() -> None:
    contests = Contests(clock=Clock())
    fight(contests, 4, accepted())
    kept = Resolved(decision=Decision(accepted=OURS), stored=())
    assert pace(kept, contests) == (kept, 0.0)


def test_a_changed_spec_never_waits() -> None:
    contests = Contests(clock=Clock())
    fight(contests, 4, accepted())
    changed = Decision(accepted=replace(OURS, number=5, cause=Cause.SPEC_CHANGED), before=THEIRS)
    resolved = Resolved(decision=changed, stored=())
    assert pace(resolved, contests) == (resolved, 0.0)


def test_a_new_adopt_annotation_is_followed_at_once() -> None:
    contests = Contests(clock=Clock())
    fight(contests, 4, accepted())
    assert pace(accepted(), contests, adopt=OURS.name)[1] == 0
