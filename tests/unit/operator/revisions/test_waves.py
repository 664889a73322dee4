"""How many objects adopt a new revision at the same time, and what stops an upgrade."""

from __future__ import annotations

import pytest
from imageclassifier_operator.revisions import Waves

A, B, C, D = (("vision", name) for name in "abcd")


def started(size: int) -> Waves:
    """Return an upgrade in which A has begun, as the first of a wave."""
    waves = Waves(size)
    assert waves.ask(A) is None
    waves.report(A, upgrading=True)
    return waves


def test_a_wave_has_at_most_its_size() -> None:
    waves = started(2)
    assert waves.ask(B) is None
    assert waves.ask(C) == "other objects are upgraded before it"
    assert (waves.running, waves.waiting) == (2, 1)


def test_the_next_wave_begins_when_all_objects_of_the_present_one_are_ready() -> None:
    waves = started(2)
    waves.ask(B)
    waves.report(A, upgrading=True, ready=True)
    assert waves.ask(C) is not None
    assert waves.take_due() == []
    waves.report(B, upgrading=True, ready=True)
    assert waves.take_due() == [C]
    assert waves.ask(C) is None


def test_as_many_objects_as_fit_into_the_next_wave_are_asked_to_continue() -> None:
    waves = started(1)
    for name in (B, C, D):
        waves.ask(name)
    waves.report(A, upgrading=True, ready=True)
    assert waves.take_due() == [B]
    assert waves.waiting == 2


def test_an_object_that_asks_twice_counts_once() -> None:
    waves = started(2)
    assert waves.ask(A) is None
    assert waves.ask(B) is None


def test_an_object_that_is_not_ready_yet_blocks_the_next_wave_but_does_not_stop_the_upgrade() -> None:
    waves = started(1)
    waves.report(A, upgrading=True)
    assert waves.ask(B) is not None
    assert not waves.stopped


def test_an_object_that_needs_user_action_stops_its_wave_too() -> None:
    waves = started(3)
    waves.report(A, upgrading=True, stalled=True)
    assert waves.stopped
    assert waves.ask(B) == ("the upgrade has stopped, because another object is not Ready with its new revision")


def test_waiting_objects_learn_why_they_wait_now() -> None:
    waves = started(1)
    waves.ask(B)
    waves.ask(C)
    assert waves.take_due() == []
    waves.report(A, upgrading=True, stalled=True)
    assert waves.take_due() == [B, C]
    waves.ask(B)
    waves.ask(C)
    assert waves.take_due() == []


def test_an_upgrade_continues_once_the_object_that_stopped_it_is_ready() -> None:
    waves = started(1)
    waves.report(A, upgrading=True, stalled=True)
    waves.ask(B)
    waves.report(A, upgrading=True, ready=True)
    assert not waves.stopped
    assert waves.take_due() == [B]


def test_an_upgrade_stays_stopped_if_the_object_was_repaired_by_another_spec() -> None:
    waves = started(1)
    waves.report(A, upgrading=True, stalled=True)
    waves.report(A, upgrading=False, ready=True)
    assert waves.stopped
    assert waves.ask(B) is not None


def test_a_changed_spec_during_an_upgrade_does_not_stop_it() -> None:
    waves = started(1)
    waves.report(A, upgrading=False)
    assert waves.ask(B) is None


@pytest.mark.parametrize("stalled", [True, False])
def test_a_deleted_object_does_not_block_the_next_wave(stalled: bool) -> None:
    waves = started(1)
    waves.report(A, upgrading=True, stalled=stalled)
    waves.forget(A)
    assert waves.ask(B) is None


def test_no_wave_begins_before_every_existing_object_was_reconciled_once() -> None:
    waves = Waves(2)
    waves.expect([A, B])
    waves.report(A, upgrading=False)
    assert waves.ask(A) == "the operator has just started"
    waves.report(B, upgrading=False)
    assert waves.take_due() == [A]


def test_an_object_that_was_in_a_wave_before_a_restart_is_in_the_first_wave() -> None:
    waves = Waves(1)
    waves.expect([A, B])
    waves.report(A, upgrading=True)
    waves.report(B, upgrading=False)
    assert waves.ask(B) == "other objects are upgraded before it"


def test_with_size_0_no_object_is_upgraded() -> None:
    assert Waves(0).ask(A) == "the operator is configured with the upgrade wave size 0"


def test_an_object_that_no_longer_waits_is_not_asked_to_continue() -> None:
    waves = started(1)
    waves.ask(B)
    waves.withdraw(B)
    waves.report(A, upgrading=True, ready=True)
    assert waves.take_due() == []


def test_a_wave_that_began_before_a_restart_is_not_filled_up() -> None:
    waves = Waves(5)
    waves.report(A, upgrading=True)
    assert waves.ask(B) == "other objects are upgraded before it"
    waves.report(A, upgrading=True, ready=True)
    assert waves.ask(B) is None


def test_a_revision_that_fails_after_it_was_ready_stops_the_upgrade() -> None:
    waves = started(1)
    waves.ask(B)
    waves.ask(C)
    waves.report(A, upgrading=True, ready=True)
    assert waves.take_due() == [B]
    waves.report(A, upgrading=True, ready=True, stalled=True)
    assert waves.ask(B) is not None
    waves.report(A, upgrading=True, ready=True, stalled=None)  # its pod is created again, and not Ready yet
    assert waves.ask(B) is not None
    waves.report(A, upgrading=True, ready=True, stalled=False)
    assert waves.ask(B) is None


def test_an_object_that_fails_after_the_upgrade_is_over_is_no_stop() -> None:
    waves = started(1)
    waves.report(A, upgrading=True, ready=True)
    waves.report(A, upgrading=True, ready=True, stalled=True)
    assert not waves.stopped
    waves.report(A, upgrading=False)
    assert not waves.stopped


def test_an_object_that_is_held_does_not_hold_the_others() -> None:
    waves = started(1)
    waves.report(A, upgrading=True, stalled=None, held=True)
    assert waves.ask(B) is None


def test_an_object_that_was_upgraded_before_the_start_does_not_stop_an_upgrade() -> None:
    waves = Waves(1)
    waves.report(A, upgrading=True, ready=True, stalled=True)
    assert waves.ask(B) is None


def test_a_pause_does_not_continue_an_upgrade_that_has_stopped() -> None:
    waves = started(2)
    waves.report(A, upgrading=True, stalled=True)
    waves.report(A, upgrading=True, stalled=None, held=True)
    assert waves.stopped
    assert waves.ask(B) is not None


def test_an_object_whose_reconcile_fails_keeps_no_place() -> None:
    waves = Waves(1)
    assert waves.ask(A) is None
    waves.failed(A)
    assert waves.ask(B) is None


def test_an_object_whose_revision_is_stored_keeps_its_place_if_its_reconcile_fails() -> None:
    waves = Waves(1)
    assert waves.ask(A) is None
    waves.accepted(A)
    waves.failed(A)
    assert waves.ask(B) is not None


def test_a_reconcile_that_fails_after_the_start_is_awaited_a_few_times() -> None:
    waves = Waves(1)
    waves.expect([A])
    waves.failed(A)
    waves.failed(A)
    for _ in range(5):
        waves.failed(A, unreachable=True)
    assert waves.ask(B) == "the operator has just started"
    waves.failed(A)
    assert waves.ask(B) is None


def test_a_grant_that_is_given_back_leaves_its_place_to_another_object() -> None:
    waves = Waves(1)
    assert waves.ask(("vision", "a")) is None
    waves.give_back(("vision", "a"))
    assert waves.ask(("vision", "b")) is None
    waves.give_back(("vision", "a"))  # it has no grant now
    assert waves.ask(("vision", "c")) == "other objects are upgraded before it"
