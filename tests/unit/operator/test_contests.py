"""When a write to a field that others set back is due, and what the status says about it."""

from __future__ import annotations

from typing import Any

import pytest
from imageclassifier_operator.apply.contests import (
    FIRST_PAUSE_SECONDS,
    FREE_WRITES,
    MAX_PAUSE_SECONDS,
    QUIET_SECONDS,
    SETTLING_SECONDS,
    Contests,
    last_writer,
)
from imageclassifier_operator.apply.difference import Difference
from imageclassifier_operator.status import ContestedField
from imageclassifier_operator.status.contested import contested_verdict

OWNER = ("vision", "pets")
IMAGE = Difference(path="spec.image", desired="a", observed="b")
PORT = Difference(path="spec.port", desired=80, observed=81)


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def entry(manager: str, time: str, fields: dict[str, Any] | None = None) -> dict[str, Any]:
    fields = {"f:spec": {"f:image": {}}} if fields is None else fields
    return {"manager": manager, "operation": "Update", "time": time, "fieldsV1": fields}


LIVE = {
    "kind": "Service",
    "metadata": {"managedFields": [entry("us", "2026-01-01T00:00:01Z"), entry("them", "2026-01-01T00:00:02Z")]},
}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def contests(clock: Clock) -> Contests:
    return Contests(clock=clock)


def write(contests: Contests, *found: Difference, times: int = 1) -> None:
    for _ in range(times):
        contests.record(OWNER, LIVE, found, ours={"us"})


def pause(contests: Contests, *found: Difference) -> float:
    return contests.pause(OWNER, "Service", found)


def test_the_first_writes_have_no_pause_and_the_pauses_double_up_to_the_longest(
    clock: Clock, contests: Contests
) -> None:
    pauses = []
    for _ in range(FREE_WRITES + 10):
        pauses.append(pause(contests, IMAGE))
        clock.now += pauses[-1]
        write(contests, IMAGE)
    assert pauses[:FREE_WRITES] == [0.0] * FREE_WRITES
    assert pauses[FREE_WRITES : FREE_WRITES + 3] == [FIRST_PAUSE_SECONDS * factor for factor in (1, 2, 4)]
    assert pauses[-1] == MAX_PAUSE_SECONDS


def test_another_field_that_differs_is_written_at_once(contests: Contests) -> None:
    write(contests, IMAGE, times=FREE_WRITES)
    assert pause(contests, IMAGE) > 0
    assert pause(contests, IMAGE, PORT) == 0


def test_another_desired_object_is_written_at_once(contests: Contests) -> None:
    """Such as a field of the spec that is switched on and off several times."""
    contests.expect(OWNER, {"kind": "Service", "spec": {"image": "a"}})
    write(contests, IMAGE, times=FREE_WRITES)
    contests.expect(OWNER, {"kind": "Service", "spec": {"image": "a"}})
    contests.expect(OWNER, {"kind": "Deployment", "spec": {}})
    assert pause(contests, IMAGE) > 0
    contests.expect(OWNER, {"kind": "Service", "spec": {"image": "c"}})
    assert pause(contests, IMAGE) == 0
    assert contests.contested(OWNER) == []


def test_a_contest_is_reported_with_the_other_writer_until_nobody_sets_the_field_back(
    clock: Clock, contests: Contests
) -> None:
    write(contests, IMAGE, times=FREE_WRITES - 1)
    assert contests.contested(OWNER) == []
    assert contests.seconds_left(OWNER) is None
    write(contests, IMAGE)
    assert contests.contested(OWNER) == [ContestedField(kind="Service", path="spec.image", manager="them")]
    assert contests.contested(("vision", "other")) == []
    clock.now += QUIET_SECONDS - 1
    assert contests.seconds_left(OWNER) == 1
    assert contests.contested(OWNER)
    clock.now += 1
    assert contests.contested(OWNER) == []
    assert pause(contests, IMAGE) == 0


def test_a_deleted_object_is_forgotten(contests: Contests) -> None:
    write(contests, IMAGE, times=FREE_WRITES)
    contests.forget(OWNER)
    assert contests.contested(OWNER) == []


OLD, NEW = "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"
PORT_STEP = 'k:{"port":80,"protocol":"TCP"}'


@pytest.mark.parametrize(
    ("path", "entries", "expected"),
    [
        ("spec.image", [], None),
        ("spec.image", [entry("us", NEW)], None),
        ("spec.image", [entry("us", NEW), entry("them", OLD)], "them"),
        ("spec.image", [entry("others", OLD), entry("them", NEW)], "them"),
        ("spec.image", [entry("cloud", NEW, {"f:metadata": {"f:annotations": {".": {}, "f:lb": {}}}})], None),
        ("spec.image.tag", [entry("them", NEW)], "them"),
        (
            "spec.ports.80/TCP.targetPort",
            [entry("them", NEW, {"f:spec": {"f:ports": {PORT_STEP: {".": {}}}}})],
            None,
        ),
        (
            "spec.ports.80/TCP.targetPort",
            [entry("them", NEW, {"f:spec": {"f:ports": {".": {}, PORT_STEP: {".": {}, "f:targetPort": {}}}}})],
            "them",
        ),
        (
            "metadata.labels.example.org/team",
            [entry("them", NEW, {"f:metadata": {"f:labels": {"f:example.org/team": {}}}})],
            "them",
        ),
    ],
)
def test_the_last_writer_is_the_one_that_has_set_the_field(
    path: str, entries: list[dict[str, Any]], expected: str | None
) -> None:
    assert last_writer({"metadata": {"managedFields": entries}}, path, ours={"us"}) == expected


def test_the_condition_names_few_fields_and_their_writers() -> None:
    fields = [ContestedField(kind="Service", path=f"spec.p{i}", manager="them") for i in range(5)]
    verdict = contested_verdict(fields)
    assert (verdict.status, verdict.reason) == ("True", "SetBackByOthers")
    assert "Service spec.p0 (by them)" in verdict.message
    assert "and 2 more" in verdict.message
    unnamed = contested_verdict([ContestedField(kind="Service", path="spec.p", manager=None)])
    assert "an unknown writer" in unnamed.message
    assert contested_verdict([]).status == "False"


def test_a_contested_field_is_unsettled_until_our_write_has_lasted(clock: Clock, contests: Contests) -> None:
    write(contests, IMAGE, times=FREE_WRITES - 1)
    assert contests.unsettled(OWNER, {"Service"}) == 0
    write(contests, IMAGE)
    assert contests.unsettled(OWNER, {"Service"}) == FIRST_PAUSE_SECONDS
    assert contests.unsettled(OWNER, {"Deployment"}) == 0
    write(contests, IMAGE, times=10)
    assert contests.unsettled(OWNER, {"Service"}) == SETTLING_SECONDS
    clock.now += SETTLING_SECONDS
    assert contests.unsettled(OWNER, {"Service"}) == 0
    assert contests.contested(OWNER), "but it is still contested"
