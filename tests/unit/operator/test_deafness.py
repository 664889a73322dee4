"""A watch of kopf's that no longer tells of changes ends the process."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from imageclassifier_operator.api import OperatorConfig
from imageclassifier_operator.controller import Controller, Key
from imageclassifier_operator.controller.controller import DEAF_SECONDS, DeafError
from imageclassifier_operator.kube import Listing
from imageclassifier_operator.metrics import Metrics

from tests.unit.operator.scripted_cluster import ScriptedCluster, ScriptEndedError

PETS = Key("vision", "pets")


def listing(version: str) -> Listing:
    item: dict[str, Any] = {"metadata": {"namespace": "vision", "name": "pets", "resourceVersion": version}}
    return Listing([item], "99")


def new_controller(cluster: ScriptedCluster) -> Controller:
    config = OperatorConfig(runtime_image="i")
    return Controller(cluster, config=config, namespaces=[None], metrics=Metrics())


async def look_on(
    monkeypatch: pytest.MonkeyPatch, lists: list[Listing], *, heard: dict[int, str]
) -> type[BaseException]:
    """Run the clock over the lists; `heard` tells before which look which version is heard of."""
    cluster = ScriptedCluster(lists=lists)
    controller = new_controller(cluster)
    looks = 0
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal looks, now
        if looks in heard:
            controller.seen(PETS, resource_version=heard[looks])
        looks, now = looks + 1, now + seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with pytest.raises((DeafError, ScriptEndedError)) as ended:
        await controller._resync()
    return ended.type


async def test_versions_that_were_heard_of_are_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await look_on(monkeypatch, [listing("1")] * 5, heard={0: "1"}) is ScriptEndedError


async def test_a_version_heard_of_late_is_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = [listing("1"), listing("2"), listing("2"), listing("2")]
    assert await look_on(monkeypatch, lists, heard={0: "1", 2: "2"}) is ScriptEndedError


async def test_a_version_that_is_never_heard_of_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert DEAF_SECONDS >= 60
    lists = [listing("1"), listing("2"), listing("2"), listing("2"), listing("2")]
    assert await look_on(monkeypatch, lists, heard={0: "1"}) is DeafError


async def test_a_dead_watch_is_found_also_where_the_object_keeps_changing(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = [listing(str(version)) for version in range(1, 10)]
    assert await look_on(monkeypatch, lists, heard={0: "1"}) is DeafError


async def test_an_object_that_keeps_changing_is_not_taken_for_a_dead_watch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lists = [listing(str(version)) for version in range(2, 10)]
    assert await look_on(monkeypatch, lists, heard={n: str(n) for n in range(9)}) is ScriptEndedError


@pytest.mark.parametrize(("listed", "due"), [("1", 0), ("2", 1)])
async def test_an_object_whose_event_is_missing_is_looked_at_all_the_same(listed: str, due: int) -> None:
    controller = new_controller(ScriptedCluster(lists=[listing(listed)]))
    controller.seen(PETS, resource_version="1")
    controller._queue.done(await controller._queue.take())
    await controller._look_over(None, resync=False)
    assert len(controller._queue) == due
