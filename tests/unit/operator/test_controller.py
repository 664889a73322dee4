"""The object that is reconciled after an event."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

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
    import pytest
    from imageclassifier_operator.kube import Resource

DOTTED = Key("vision", "pets.v2")
KEY_OF_ITS_CHILDREN = Key("vision", child_name(DOTTED.name))


def new_controller() -> Controller:
    config = OperatorConfig(runtime_image="i")
    return Controller(ScriptedCluster(), config=config, namespaces=[None], metrics=Metrics())


async def due(controller: Controller) -> list[Key]:
    queue = controller._queue
    return [await queue.take() for _ in range(len(queue))]


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
        await controller._reconcile(DOTTED)
        assert controller._queue._failures[DOTTED] == failures
        assert len(controller._queue) == 1


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
