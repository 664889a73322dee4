"""The object that is reconciled after an event."""

from __future__ import annotations

import asyncio
import itertools
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from imageclassifier_operator.api import OperatorConfig
from imageclassifier_operator.controller import Controller, Heartbeats, Key
from imageclassifier_operator.controller import controller as module
from imageclassifier_operator.handlers import settings
from imageclassifier_operator.kube import ForbiddenError, Listing, UnreachableError
from imageclassifier_operator.manifests import Capabilities
from imageclassifier_operator.metrics import Metrics
from imageclassifier_operator.naming import child_name
from imageclassifier_operator.reconcile import Outcome

from tests.unit.operator.scripted_cluster import ScriptedCluster

if TYPE_CHECKING:
    from imageclassifier_operator.controller.watches import KindWatch
    from imageclassifier_operator.kube import Resource
    from imageclassifier_operator.reconcile import Pass

DOTTED = Key("vision", "pets.v2")
KEY_OF_ITS_CHILDREN = Key("vision", child_name(DOTTED.name))


def new_controller() -> Controller:
    config = OperatorConfig(runtime_image="i")
    return Controller(
        ScriptedCluster(), config=config, namespaces=[None], metrics=Metrics(), heartbeats=Heartbeats()
    )


async def due(controller: Controller) -> list[Key]:
    queue = controller._queue
    return [(await queue.take())[0] for _ in range(len(queue))]


async def test_a_pod_wakes_an_object_whose_children_have_another_name() -> None:
    controller = new_controller()
    controller.handle_event(DOTTED, resource_version="1")
    await due(controller)
    controller._queue.done(DOTTED)
    controller.wake(KEY_OF_ITS_CHILDREN)
    assert await due(controller) == [DOTTED]


async def test_an_object_named_like_the_children_of_another_wakes_itself() -> None:
    controller = new_controller()
    for key in (DOTTED, KEY_OF_ITS_CHILDREN):
        controller.handle_event(key, resource_version="1")
    for key in await due(controller):
        controller._queue.done(key)
    controller.wake(KEY_OF_ITS_CHILDREN)
    assert await due(controller) == [KEY_OF_ITS_CHILDREN]


async def test_a_persistent_conflict_is_retried_with_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    controller = new_controller()
    controller._capabilities = Capabilities(service_monitors=False)

    async def conflict(*_: object, **__: object) -> Outcome:
        return Outcome(result="again", again=True)

    monkeypatch.setattr(module, "reconcile", conflict)
    controller.handle_event(DOTTED, resource_version="1")
    for failures in range(1, 4):
        controller._queue._due.clear()
        await controller._reconcile(DOTTED, had_event=True)
        assert controller._queue._failures[DOTTED] == failures
        assert len(controller._queue) == 1


@pytest.mark.parametrize(("at_rest", "due_at_resync"), [(True, 0), (False, 1)])
async def test_the_resync_leaves_out_an_object_at_rest(
    monkeypatch: pytest.MonkeyPatch, at_rest: bool, due_at_resync: int
) -> None:
    controller = new_controller()
    controller._capabilities = Capabilities(service_monitors=False)
    controller._memory.add(None, cast("KindWatch", SimpleNamespace(current=True, versions=lambda _: iter(()))))
    passed = cast("Pass", SimpleNamespace(live={"metadata": {"resourceVersion": "1"}}))

    async def ready(*_: object, **__: object) -> Outcome:
        return Outcome(result="ready", passed=passed, at_rest=at_rest)

    monkeypatch.setattr(module, "reconcile", ready)
    key = Key("vision", "pets")
    controller.handle_event(key, resource_version="1")
    await controller._reconcile(*await controller._queue.take())
    controller._make_due()
    assert len(controller._queue) == due_at_resync


async def test_a_poll_gets_what_was_read_last_and_an_event_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    controller = new_controller()
    controller._capabilities = Capabilities(service_monitors=False)
    controller._memory.add(None, cast("KindWatch", SimpleNamespace(current=True, versions=lambda _: iter(()))))
    passed = cast("Pass", SimpleNamespace(live={"metadata": {"resourceVersion": "1"}}))
    given: list[object] = []

    async def waiting(*_: object, unchanged: object, **__: object) -> Outcome:
        given.append(unchanged)
        return Outcome(result="waiting", poll_after=0.01, passed=passed)

    monkeypatch.setattr(module, "reconcile", waiting)
    controller.handle_event(DOTTED, resource_version="1")
    for _ in range(2):
        await controller._reconcile(*await controller._queue.take())
    controller.wake(DOTTED)
    await controller._reconcile(*await controller._queue.take())
    assert given == [None, passed, None]


class OneNamespaceForbidden(ScriptedCluster):
    """Has an object in the namespace vision; the namespace gone is forbidden."""

    def listed(self, resource: Resource, *, namespace: str | None, selector: str) -> Listing:
        if namespace == "gone":
            raise ForbiddenError("imageclassifiers is forbidden", status=403, reason="Forbidden")
        return Listing([{"metadata": {"namespace": "vision", "name": "pets", "resourceVersion": "1"}}], "1")


async def test_a_namespace_without_permission_does_not_stop_the_others() -> None:
    config = OperatorConfig(runtime_image="i")
    namespaces = ["gone", "vision"]
    controller = Controller(
        OneNamespaceForbidden(),
        config=config,
        namespaces=namespaces,
        metrics=Metrics(),
        heartbeats=Heartbeats(),
    )
    await controller._expect_all()
    assert await due(controller) == [Key("vision", "pets")]


async def test_discovery_is_repeated_when_a_watch_has_a_reason_and_until_it_succeeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    controller = new_controller()
    controller._capabilities = Capabilities(service_monitors=False)
    controller.handle_event(DOTTED, resource_version="1")
    assert await due(controller) == [DOTTED]
    controller._queue.done(DOTTED)
    answers: list[Capabilities | Exception] = [
        UnreachableError("down"),
        Capabilities(service_monitors=False),
        Capabilities(service_monitors=True),
        Capabilities(service_monitors=True, http_routes=True),
    ]
    pauses: list[float] = []

    async def no_sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def answer(_: object) -> Capabilities:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(module, "discover", answer)
    controller._discovery_due.clear()
    discovery = asyncio.create_task(controller._rediscover())
    await asyncio.wait([discovery], timeout=0.05)
    assert len(answers) == 4
    monkeypatch.setattr(asyncio, "sleep", no_sleep)
    controller._discovery_due.set()
    assert await due_soon(controller) == DOTTED
    assert controller._capabilities == Capabilities(service_monitors=True, http_routes=True)
    assert answers == []
    assert pauses[:4] == list(module.DISCOVERY_RETRY_SECONDS)
    discovery.cancel()


async def test_of_api_servers_with_several_versions_the_last_one_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    controller = new_controller()
    controller._capabilities = Capabilities(kubernetes=(1, 36))
    used: list[Capabilities] = []
    versions = [(1, 37), (1, 36), (1, 36), (1, 37)]

    async def no_sleep(_seconds: float) -> None:
        return None

    async def answer(_: object) -> Capabilities:
        if not versions:
            await asyncio.Event().wait()
        return Capabilities(kubernetes=versions.pop(0))

    monkeypatch.setattr(module, "discover", answer)
    monkeypatch.setattr(asyncio, "sleep", no_sleep)
    monkeypatch.setattr(controller, "_use", used.append)
    discovery = asyncio.create_task(controller._rediscover())
    await asyncio.wait([discovery], timeout=0.05)
    discovery.cancel()
    assert used == [Capabilities(kubernetes=(1, 37))]


async def due_soon(controller: Controller) -> Key:
    async with asyncio.timeout(5):
        return (await controller._queue.take())[0]


async def test_an_event_of_an_object_makes_absent_apis_be_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    controller = new_controller()
    looked_for: list[bool] = []
    watch = SimpleNamespace(check_soon=lambda: looked_for.append(True))
    controller._child_watches.append(cast("KindWatch", watch))
    controller.handle_event(DOTTED, resource_version="1")
    assert looked_for == [True]


def test_kopf_retries_a_request_for_ever() -> None:
    backoffs = settings().networking.error_backoffs
    assert not isinstance(backoffs, float)
    assert list(itertools.islice(backoffs, 100))[-1] == 30
