"""No change of a child is missed, whatever happens to the watch."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.controller import Heartbeats, Key, watches
from imageclassifier_operator.controller.watches import KindWatch
from imageclassifier_operator.kube import (
    PODS,
    ForbiddenError,
    GoneError,
    Listing,
    NotFoundError,
    Resource,
    SilentError,
    UnreachableError,
    WatchEvent,
)
from imageclassifier_operator.metrics import Metrics

from tests.unit.operator.scripted_cluster import ScriptedCluster, ScriptEndedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

LABELS = {"resource": "pods", "watched_namespace": ""}
PETS, CARS = Key("vision", "pets"), Key("vision", "cars")


def child(owner: str, uid: str, version: str = "1") -> dict[str, Any]:
    reference = {"kind": "ImageClassifier", "name": owner, "controller": True}
    metadata = {"namespace": "vision", "uid": uid, "resourceVersion": version, "ownerReferences": [reference]}
    return {"metadata": metadata}


def bookmark(version: str) -> WatchEvent:
    return WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": version}})


def ignore(_: Key) -> None:
    """Ignore that an owner is woken."""


def new_watch(
    cluster: ScriptedCluster,
    notify: Callable[[Key], None],
    metrics: Metrics | None = None,
    heartbeats: Heartbeats | None = None,
    recovered: Callable[[], None] = lambda: None,
    version_of: Callable[[Mapping[str, Any]], str] | None = None,
) -> KindWatch:
    return KindWatch(
        cluster,
        PODS,
        namespace=None,
        notify=notify,
        metrics=metrics or Metrics(),
        heartbeats=heartbeats or Heartbeats(),
        recovered=recovered,
        version_of=version_of,
    )


async def woken(
    cluster: ScriptedCluster,
    monkeypatch: pytest.MonkeyPatch,
    version_of: Callable[[Mapping[str, Any]], str] | None = None,
) -> list[Key]:
    """Return the keys that are woken until the script ends, in order."""

    async def no_sleep(_seconds: float) -> None:
        return None

    monkeypatch.setattr(asyncio, "sleep", no_sleep)
    keys: list[Key] = []
    watch = new_watch(cluster, keys.append, version_of=version_of)
    with pytest.raises(ScriptEndedError):
        await watch.run()
    return keys


async def test_a_listed_child_wakes_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = ScriptedCluster(lists=[Listing([child("pets", "1")], "10")])
    assert await woken(cluster, monkeypatch) == [PETS]


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED"])
async def test_an_event_wakes_the_owner(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    stream = [WatchEvent(kind, child("cars", "2", "11"))]
    cluster = ScriptedCluster(lists=[Listing([], "10")], streams=[stream])
    assert await woken(cluster, monkeypatch) == [CARS]


async def test_a_closed_watch_resumes_from_the_last_bookmark(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = ScriptedCluster(lists=[Listing([], "10")], streams=[[bookmark("15")]])
    assert await woken(cluster, monkeypatch) == []
    assert cluster.watched_from == ["10", "15"]


@pytest.mark.parametrize("error", [GoneError("too old", status=410), UnreachableError("silent")])
async def test_a_child_deleted_during_an_outage_wakes_its_owner(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    lists = [Listing([child("pets", "1")], "10"), Listing([], "20")]
    cluster = ScriptedCluster(lists=lists, streams=[[error]])
    assert await woken(cluster, monkeypatch) == [PETS, PETS]
    assert cluster.watched_from == ["10", "20"]


async def test_a_child_that_is_listed_unchanged_wakes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = child("cars", "2"), child("cars", "2", "15")
    lists = [Listing([child("pets", "1"), before], "10"), Listing([child("pets", "1"), after], "20")]
    cluster = ScriptedCluster(lists=lists, streams=[[GoneError("too old", status=410)]])
    found = await woken(cluster, monkeypatch)
    assert (sorted(found[:2]), found[2:]) == ([CARS, PETS], [CARS])


async def test_a_child_that_lost_its_owner_wakes_the_previous_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    orphan = child("pets", "1", "11")
    orphan["metadata"]["ownerReferences"] = []
    stream = [WatchEvent("MODIFIED", orphan)]
    cluster = ScriptedCluster(lists=[Listing([child("pets", "1")], "10")], streams=[stream])
    assert await woken(cluster, monkeypatch) == [PETS, PETS]


async def test_a_change_of_what_the_operator_does_not_use_wakes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_status(version: str, *, measured: int, desired: int) -> dict[str, Any]:
        return {**child("pets", "1", version), "status": {"measured": measured, "desired": desired}}

    stream = [
        WatchEvent("MODIFIED", with_status("11", measured=2, desired=1)),
        WatchEvent("MODIFIED", with_status("12", measured=2, desired=2)),
        WatchEvent("MODIFIED", with_status("13", measured=3, desired=2)),
        WatchEvent("DELETED", with_status("14", measured=3, desired=2)),
    ]
    cluster = ScriptedCluster(
        lists=[Listing([with_status("1", measured=1, desired=1)], "10")], streams=[[*stream[:3]], [stream[3]]]
    )
    keys = await woken(cluster, monkeypatch, version_of=lambda item: str(item["status"]["desired"]))
    assert keys == [PETS, PETS, PETS], "when it is listed, desired otherwise, and deleted"
    assert cluster.watched_from == ["10", "13", "14"]


async def test_a_change_that_may_have_been_taken_back_while_nothing_was_watched_wakes_the_owner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lists: list[Listing | Exception] = [
        Listing([child("pets", "1", version)], version) for version in ("10", "20")
    ]
    cluster = ScriptedCluster(lists=lists, streams=[[GoneError("too old", status=410)]])
    assert await woken(cluster, monkeypatch, version_of=lambda _: "the same") == [PETS, PETS]


async def test_a_watch_that_is_always_rejected_backs_off_and_wakes_nobody_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    async def no_sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", no_sleep)
    rejected = ForbiddenError("pods is forbidden: cannot watch", status=403)
    cluster = ScriptedCluster(lists=[Listing([child("pets", "1")], "10")] * 6, streams=[[rejected]] * 6)
    keys: list[Key] = []
    metrics = Metrics()
    with pytest.raises(ScriptEndedError):
        await new_watch(cluster, keys.append, metrics).run()
    assert keys == [PETS]
    assert pauses[-1] >= 15.0
    assert metrics.registry.get_sample_value("imageclassifier_operator_watcher_up", LABELS) == 0


async def test_a_watch_that_ends_at_once_without_an_event_backs_off(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def no_sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", no_sleep)
    cluster = ScriptedCluster(lists=[Listing([], "10")] * 4, streams=[[]] * 4)
    metrics = Metrics()
    with pytest.raises(ScriptEndedError):
        await new_watch(cluster, ignore, metrics).run()
    assert len(pauses) == 4
    assert pauses[-1] >= 8.0
    assert metrics.registry.get_sample_value("imageclassifier_operator_watcher_up", LABELS) == 0


async def test_a_watch_works_once_it_has_lasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "LASTING_SECONDS", 0.0)
    metrics, lasted = Metrics(), asyncio.Event()

    class QuietCluster(ScriptedCluster):
        async def stream(self, resource: Resource) -> AsyncIterator[WatchEvent]:
            asyncio.get_running_loop().call_later(0.01, lasted.set)
            await asyncio.Event().wait()
            yield bookmark("11")

    cluster = QuietCluster(lists=[Listing([], "10")])
    task = asyncio.create_task(new_watch(cluster, ignore, metrics).run())
    await lasted.wait()
    assert metrics.registry.get_sample_value("imageclassifier_operator_watcher_up", LABELS) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_orphan_wakes_the_object_of_its_label(monkeypatch: pytest.MonkeyPatch) -> None:
    orphan = child("pets", "1")
    orphan["metadata"] |= {"ownerReferences": [], "labels": {"app.kubernetes.io/instance": "pets"}}
    assert await woken(ScriptedCluster(lists=[Listing([orphan], "10")]), monkeypatch) == [PETS]


async def test_an_unexpected_error_ends_the_watch() -> None:
    cluster = ScriptedCluster(lists=[ZeroDivisionError()])
    watch = new_watch(cluster, ignore)
    with pytest.raises(ZeroDivisionError):
        await watch.run()


async def remembered(cluster: ScriptedCluster, monkeypatch: pytest.MonkeyPatch) -> KindWatch:
    """Return a watch whose script has ended."""

    async def no_sleep(_seconds: float) -> None:
        return None

    monkeypatch.setattr(asyncio, "sleep", no_sleep)
    monkeypatch.setattr(watches, "LONGEST_ABSENT_SECONDS", watches.ABSENT_SECONDS)
    watch = new_watch(cluster, ignore)
    with pytest.raises(ScriptEndedError):
        await watch.run()
    return watch


async def test_a_watch_remembers_the_children_of_each_owner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = [
        WatchEvent("MODIFIED", child("pets", "1", "11")),
        WatchEvent("ADDED", child("pets", "2", "12")),
        WatchEvent("ADDED", child("cars", "3", "13")),
        WatchEvent("DELETED", child("pets", "2", "14")),
        WatchEvent("MODIFIED", child("pets", "3", "15")),
    ]
    cluster = ScriptedCluster(lists=[Listing([child("pets", "1")], "10")], streams=[stream])
    watch = await remembered(cluster, monkeypatch)
    assert set(watch.versions(PETS)) == {("1", "11"), ("3", "15")}
    assert set(watch.versions(CARS)) == set()
    assert watch.current


@pytest.mark.parametrize(
    ("lists", "streams", "current"),
    [
        ([Listing([], "1")], [], False),
        ([Listing([], "1")], [[bookmark("2")]], True),
        ([Listing([], "1")], [[bookmark("2"), UnreachableError("silent")]], False),
        ([NotFoundError("no such API", status=404)], [], True),
    ],
)
async def test_the_memory_of_a_watch_counts_while_it_delivers_or_while_its_api_is_absent(
    monkeypatch: pytest.MonkeyPatch,
    lists: list[Listing | Exception],
    streams: list[list[WatchEvent | Exception]],
    current: bool,
) -> None:
    cluster = ScriptedCluster(lists=lists, streams=streams)
    assert (await remembered(cluster, monkeypatch)).current is current


ABSENT = NotFoundError("no such API", status=404)


@pytest.mark.parametrize(
    ("lists", "streams", "recoveries"),
    [
        ([Listing([], "1")], [], 0),
        ([Listing([], "1")], [[bookmark("2")]], 1),  # it ended early: the API server may be another one
        ([ABSENT, ABSENT], [], 1),
        ([ABSENT, ABSENT, Listing([], "1")], [], 2),
        ([Listing([], "1"), Listing([], "2")], [[UnreachableError("silent")], [bookmark("3")]], 2),
        ([UnreachableError("down")] * 3, [], 0),
    ],
)
async def test_a_watch_reports_when_its_api_appears_or_goes_and_when_it_works_again(
    monkeypatch: pytest.MonkeyPatch,
    lists: list[Listing | Exception],
    streams: list[list[WatchEvent | Exception]],
    recoveries: int,
) -> None:
    async def no_sleep(_seconds: float) -> None:
        return None

    monkeypatch.setattr(asyncio, "sleep", no_sleep)
    monkeypatch.setattr(watches, "LONGEST_ABSENT_SECONDS", watches.ABSENT_SECONDS)
    reported: list[bool] = []
    cluster = ScriptedCluster(lists=lists, streams=streams)
    with pytest.raises(ScriptEndedError):
        await new_watch(cluster, ignore, recovered=lambda: reported.append(True)).run()
    assert len(reported) == recoveries


async def test_an_absent_api_is_looked_for_rarely_unless_somebody_is_at_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def no_sleep(_seconds: float) -> None:
        return None

    monkeypatch.setattr(asyncio, "sleep", no_sleep)
    assert watches.LONGEST_ABSENT_SECONDS >= 300
    watch = new_watch(ScriptedCluster(lists=[ABSENT]), ignore)
    running = asyncio.create_task(watch.run())
    await asyncio.wait([running], timeout=0.05)
    assert not running.done()
    watch.check_soon()
    with pytest.raises(ScriptEndedError):
        await running


async def test_a_silent_watch_is_watched_again_from_the_same_version_without_a_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = ScriptedCluster(
        lists=[Listing([child("pets", "1")], "10")],
        streams=[[SilentError("silent")], [bookmark("15"), SilentError("silent")]],
    )
    assert await woken(cluster, monkeypatch) == [PETS]
    assert cluster.watched_from == ["10", "10", "15"]


async def test_a_watch_that_hangs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    heartbeats = Heartbeats(clock=lambda: now)

    class Hanging(ScriptedCluster):
        async def stream(self, resource: Resource) -> AsyncIterator[WatchEvent]:
            yield bookmark("2")
            await asyncio.Event().wait()

    running = asyncio.create_task(
        new_watch(Hanging(lists=[Listing([], "1")]), ignore, heartbeats=heartbeats).run()
    )
    await asyncio.wait([running], timeout=0.05)
    now = watches._SIGN_OF_LIFE_SECONDS
    assert heartbeats.silent() == []
    now += 1
    assert heartbeats.silent() == ["watch of pods in all namespaces: silent for 241 s"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
