"""A kopf watch that no longer reports changes stops the process."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.api import OperatorConfig
from imageclassifier_operator.controller import Controller, Heartbeats, Key
from imageclassifier_operator.controller.controller import CHECK_SECONDS, STALE_WATCH_SECONDS, StaleWatchError
from imageclassifier_operator.controller.event_check import EventCheck
from imageclassifier_operator.kube import Listing, WatchEvent
from imageclassifier_operator.metrics import Metrics
from imageclassifier_operator.object_metrics import object_facts

from tests.unit.operator.scripted_cluster import ScriptedCluster, ScriptEndedError

if TYPE_CHECKING:
    from collections.abc import Sequence

PETS = Key("vision", "pets")


def late_after(*steps: tuple[float, str, str | None]) -> float | None:
    """Return for how long an event is late after steps of (time, who, version), at 1,000 s."""
    now = 0.0
    events = EventCheck(clock=lambda: now)
    for at, who, version in steps:
        now = at
        (events.seen if who == "ours" else events.reported)(PETS, version)
    now = 1000.0
    return events.late().get(PETS)


@pytest.mark.parametrize(
    ("steps", "late"),
    [
        ([(0, "kopf", "1"), (0, "ours", "1")], None),
        ([(0, "ours", "1"), (5, "kopf", "1")], None),
        ([(0, "ours", "1")], 1000.0),
        ([(0, "kopf", "1"), (100, "ours", "2")], 900.0),
        # Of an object that goes on changing, the first event that is missing counts.
        ([(0, "kopf", "1"), *((at, "ours", str(at)) for at in range(100, 900, 50))], 900.0),
        ([step for at in range(100, 900) for step in ((at, "ours", str(at)), (at, "kopf", str(at)))], None),
        # Late, but alive: what is still missing is missing from then on.
        ([(0, "ours", "1"), (10, "ours", "2"), (500, "kopf", "1")], 500.0),
        ([(0, "ours", "1"), (10, "ours", "2"), (500, "kopf", "2")], None),
        # Ours is behind, so nothing is missing.
        ([(0, "ours", "1"), (0, "kopf", "1"), (100, "kopf", "2")], None),
        ([(0, "ours", "1"), (0, "kopf", "1"), (100, "kopf", "2"), (500, "ours", "2")], None),
        # kopf does not report a deletion that happened before it listed the objects again.
        ([(0, "ours", "1"), (0, "kopf", "1"), (100, "ours", None)], None),
        ([(0, "ours", "1"), (0, "kopf", "1"), (100, "kopf", None), (101, "ours", None)], None),
        # Created again: the events of both watches may come in any order.
        ([(0, "kopf", "1"), (1, "ours", "1"), (2, "kopf", None), (3, "kopf", "9"), (4, "ours", None)], None),
        (
            [
                *((0, who, "1") for who in ("kopf", "ours")),
                *((at, "kopf", version) for at, version in ((2, None), (3, "9"))),
                *((at, "ours", version) for at, version in ((4, None), (5, "9"))),
            ],
            None,
        ),
    ],
)
def test_an_event_is_late_that_only_our_own_watch_has_seen(
    steps: Sequence[tuple[float, str, str | None]], late: float | None
) -> None:
    assert late_after(*steps) == late


def test_a_watch_that_reports_other_objects_is_not_stale() -> None:
    now = 0.0
    events = EventCheck(clock=lambda: now, scope_of=lambda key: key.namespace)
    other, elsewhere = Key("vision", "cars"), Key("speech", "cars")
    events.seen(PETS, "1")
    now = 100.0
    events.reported(elsewhere, "1")
    assert events.late() == {PETS: 100.0}
    events.reported(other, "1")
    now = 150.0
    assert events.late() == {PETS: 50.0}


def new_controller(cluster: ScriptedCluster | None = None) -> Controller:
    config = OperatorConfig(runtime_image="i")
    return Controller(
        cluster or ScriptedCluster(),
        config=config,
        namespaces=[None],
        metrics=Metrics(),
        heartbeats=Heartbeats(),
    )


async def test_a_version_that_is_never_reported_stops_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert STALE_WATCH_SECONDS >= 60
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    controller = new_controller()
    controller._events = EventCheck(clock=lambda: now)
    controller._events.seen(PETS, "1")

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(StaleWatchError, match="vision/pets"):
        await controller._resync()
    assert now < STALE_WATCH_SECONDS + CHECK_SECONDS + 1


@pytest.mark.parametrize(("seen", "due"), [("1", 0), ("2", 1)])
async def test_an_object_with_a_missing_event_is_reconciled(seen: str, due: int) -> None:
    controller = new_controller()
    controller.handle_event(PETS, resource_version="1")
    controller._queue.done((await controller._queue.take())[0])
    controller._events.seen(PETS, seen)
    controller._check_events()
    assert len(controller._queue) == due


def classifier(version: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "vision", "name": "pets", "uid": "u", "resourceVersion": version}}


async def test_our_own_watch_sees_changes_and_ends_the_metrics_of_a_deleted_object() -> None:
    stream = [WatchEvent("MODIFIED", classifier("2")), WatchEvent("DELETED", classifier("3"))]
    controller = new_controller(ScriptedCluster(lists=[Listing([classifier("1")], "1")], streams=[stream]))
    metrics = controller._metrics.objects
    metrics.set(("vision", "pets"), object_facts({}, deployment=None, autoscaler=None))
    controller.handle_event(PETS, resource_version="1")
    with pytest.raises(ScriptEndedError):
        await controller._watch_classifiers(None).run()
    assert list(metrics) == []
    assert not controller._events.late()
    assert (await controller._queue.take())[0] == PETS
