"""The object that is reconciled after an event."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from imageclassifier_operator.api import OperatorConfig
from imageclassifier_operator.controller import Controller, Key
from imageclassifier_operator.controller import controller as module
from imageclassifier_operator.handlers import settings
from imageclassifier_operator.kube import ForbiddenError, Listing
from imageclassifier_operator.manifests import Capabilities
from imageclassifier_operator.metrics import Metrics
from imageclassifier_operator.naming import child_name
from imageclassifier_operator.reconcile import Outcome

from tests.unit.operator.scripted_cluster import ScriptedCluster

if TYPE_CHECKING:
    from imageclassifier_operator.controller.watches import ChildWatch
    from imageclassifier_operator.kube import Resource
    from imageclassifier_operator.reconcile import Pass

DOTTED = Key("vision", "pets.v2")
KEY_OF_ITS_CHILDREN = Key("vision", child_name(DOTTED.name))


def new_controller() -> Controller:
    config = OperatorConfig(runtime_image="i")
    return Controller(ScriptedCluster(), config=config, namespaces=[None], metrics=Metrics())


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


class OneObject(ScriptedCluster):
    """Lists one ImageClassifier, and no child."""

    async def list(
        self, resource: Resource, *, namespace: str | None, selector: str = "", metadata_only: bool = False
    ) -> Listing:
        return Listing([{"metadata": {"namespace": "vision", "name": "pets", "resourceVersion": "1"}}], "1")


@pytest.mark.parametrize(("at_rest", "due_at_resync"), [(True, 0), (False, 1)])
async def test_the_resync_leaves_out_an_object_at_rest(
    monkeypatch: pytest.MonkeyPatch, at_rest: bool, due_at_resync: int
) -> None:
    controller = Controller(
        OneObject(), config=OperatorConfig(runtime_image="i"), namespaces=[None], metrics=Metrics()
    )
    controller._capabilities = Capabilities(service_monitors=False)
    controller._memory.add(None, cast("ChildWatch", SimpleNamespace(current=True, versions=lambda _: iter(()))))
    passed = cast("Pass", SimpleNamespace(live={"metadata": {"resourceVersion": "1"}}))

    async def ready(*_: object, **__: object) -> Outcome:
        return Outcome(result="ready", passed=passed, at_rest=at_rest)

    monkeypatch.setattr(module, "reconcile", ready)
    key = Key("vision", "pets")
    controller.handle_event(key, resource_version="1")
    await controller._reconcile(*await controller._queue.take())
    await controller._check_watch(None, resync=True)
    assert len(controller._queue) == due_at_resync


async def test_a_poll_gets_what_was_read_last_and_an_event_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    controller = new_controller()
    controller._capabilities = Capabilities(service_monitors=False)
    controller._memory.add(None, cast("ChildWatch", SimpleNamespace(current=True, versions=lambda _: iter(()))))
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

    async def list(
        self, resource: Resource, *, namespace: str | None, selector: str = "", metadata_only: bool = False
    ) -> Listing:
        if namespace == "gone":
            raise ForbiddenError("imageclassifiers is forbidden", status=403, reason="Forbidden")
        return Listing([{"metadata": {"namespace": "vision", "name": "pets", "resourceVersion": "1"}}], "1")


async def test_a_namespace_without_permission_does_not_stop_the_others() -> None:
    config = OperatorConfig(runtime_image="i")
    namespaces = ["gone", "vision"]
    controller = Controller(OneNamespaceForbidden(), config=config, namespaces=namespaces, metrics=Metrics())
    await controller._expect_all()
    assert await due(controller) == [Key("vision", "pets")]


def test_kopf_retries_a_request_for_ever() -> None:
    backoffs = settings().networking.error_backoffs
    assert not isinstance(backoffs, float)
    assert list(itertools.islice(backoffs, 100))[-1] == 30
