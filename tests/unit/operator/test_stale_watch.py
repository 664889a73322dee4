"""A kopf watch that no longer reports changes stops the process."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from imageclassifier_operator.api import OperatorConfig
from imageclassifier_operator.controller import Controller, Key
from imageclassifier_operator.controller.controller import STALE_WATCH_SECONDS, StaleWatchError
from imageclassifier_operator.kube import Listing
from imageclassifier_operator.metrics import Metrics
from imageclassifier_operator.object_metrics import object_facts

from tests.unit.operator.scripted_cluster import ScriptedCluster, ScriptEndedError

PETS = Key("vision", "pets")


def listing(version: str) -> Listing:
    item: dict[str, Any] = {"metadata": {"namespace": "vision", "name": "pets", "resourceVersion": version}}
    return Listing([item], "99")


def new_controller(cluster: ScriptedCluster) -> Controller:
    config = OperatorConfig(runtime_image="i")
    return Controller(cluster, config=config, namespaces=[None], metrics=Metrics())


async def run_checks(
    monkeypatch: pytest.MonkeyPatch, lists: list[Listing], *, reported: dict[int, str]
) -> type[BaseException]:
    """Check the lists in turn; `reported` has the version that the watch reports before a check, by its number."""
    cluster = ScriptedCluster(lists=lists)
    controller = new_controller(cluster)
    checks = 0
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal checks, now
        if checks in reported:
            controller.handle_event(PETS, resource_version=reported[checks])
        checks, now = checks + 1, now + seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with pytest.raises((StaleWatchError, ScriptEndedError)) as error:
        await controller._resync()
    return error.type


async def test_a_watch_that_reported_every_version_is_not_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await run_checks(monkeypatch, [listing("1")] * 5, reported={0: "1"}) is ScriptEndedError


async def test_a_watch_that_reports_late_is_not_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = [listing("1"), listing("2"), listing("2"), listing("2")]
    assert await run_checks(monkeypatch, lists, reported={0: "1", 2: "2"}) is ScriptEndedError


async def test_a_version_that_is_never_reported_stops_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert STALE_WATCH_SECONDS >= 60
    lists = [listing("1"), listing("2"), listing("2"), listing("2"), listing("2")]
    assert await run_checks(monkeypatch, lists, reported={0: "1"}) is StaleWatchError


async def test_a_stale_watch_of_a_changing_object_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = [listing(str(version)) for version in range(1, 10)]
    assert await run_checks(monkeypatch, lists, reported={0: "1"}) is StaleWatchError


async def test_a_changing_object_is_not_mistaken_for_a_stale_watch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lists = [listing(str(version)) for version in range(2, 10)]
    assert await run_checks(monkeypatch, lists, reported={n: str(n) for n in range(9)}) is ScriptEndedError


@pytest.mark.parametrize(("listed", "due"), [("1", 0), ("2", 1)])
async def test_an_object_with_a_missing_event_is_reconciled(listed: str, due: int) -> None:
    controller = new_controller(ScriptedCluster(lists=[listing(listed)]))
    controller.handle_event(PETS, resource_version="1")
    controller._queue.done((await controller._queue.take())[0])
    await controller._check_watch(None, resync=False)
    assert len(controller._queue) == due


async def test_the_metrics_of_an_object_end_with_it_also_if_its_deletion_is_not_reported() -> None:
    controller = new_controller(ScriptedCluster(lists=[listing("1"), Listing([], "2"), Listing([], "3")]))
    metrics = controller._metrics.objects
    metrics.set(("vision", "pets"), object_facts({}, deployment=None, autoscaler=None))
    for left in ([("vision", "pets")], [("vision", "pets")], []):  # a list may be older than the object
        await controller._check_watch(None, resync=False)
        assert list(metrics) == left
