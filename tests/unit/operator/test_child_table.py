"""The table of children, and what is derived from it."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.api import ImageClassifier, ModelSource, OperatorConfig, Spec
from imageclassifier_operator.apply import WriteHistory, apply_children
from imageclassifier_operator.children import CHILDREN, Child
from imageclassifier_operator.controller import Controller, Heartbeats
from imageclassifier_operator.discovery import discover
from imageclassifier_operator.kube import (
    CLASSIFIERS,
    CONTROLLER_REVISIONS,
    PODS,
    ForbiddenError,
    Listing,
    Resource,
)
from imageclassifier_operator.manifests import Capabilities, Params
from imageclassifier_operator.metrics import Metrics

from tests import openapi
from tests.unit.operator.scripted_cluster import StoredCluster, existing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from imageclassifier_operator.kube import WatchEvent

EVERYTHING = Capabilities()
CONFIG = OperatorConfig(runtime_image="i")
PETS = ImageClassifier(
    namespace="vision",
    name="pets",
    uid="1",
    generation=1,
    spec=Spec(model=ModelSource(name="pets", uris=("bundled:pets",), sha256="a" * 64)),
)
LIMITED = [child for child in CHILDREN if child.capability is not None]


class RecordingCluster(StoredCluster):
    """Records reads, deletions and watches, and serves all kinds except one."""

    def __init__(self, *live: dict[str, Any], unserved: str = "") -> None:
        super().__init__(*live)
        self.unserved = unserved
        self.read: list[str] = []
        self.deleted: list[str] = []
        self.watched: set[Resource] = set()

    async def version(self) -> tuple[int, int]:
        return EVERYTHING.kubernetes

    async def serves(self, resource: Resource) -> bool:
        return resource.kind != self.unserved

    async def get(self, resource: Resource, *, namespace: str, name: str) -> dict[str, Any] | None:
        self.read.append(resource.kind)
        return await super().get(resource, namespace=namespace, name=name)

    async def delete(self, resource: Resource, live: Mapping[str, Any]) -> None:
        self.deleted.append(resource.kind)

    def listed(self, resource: Resource, *, namespace: str | None, selector: str) -> Listing:
        return Listing([], "1")

    async def stream(self, resource: Resource) -> AsyncIterator[WatchEvent]:
        self.watched.add(resource)
        await asyncio.sleep(3600)
        yield  # type: ignore[misc]


def live(kind: str) -> dict[str, Any]:
    owner = {"kind": "ImageClassifier", "name": "pets", "uid": "1", "controller": True}
    return {"kind": kind, "metadata": {"name": "pets", "uid": "2", "ownerReferences": [owner]}}


async def apply_no_children(cluster: RecordingCluster, capabilities: Capabilities = EVERYTHING) -> None:
    """Run one pass with no desired children."""
    await apply_children(cluster, PETS, {}, capabilities=capabilities, history=WriteHistory())


async def test_every_child_the_revisions_and_the_pods_are_watched() -> None:
    cluster = RecordingCluster()
    controller = Controller(cluster, config=CONFIG, namespaces=[None], metrics=Metrics(), heartbeats=Heartbeats())
    running = asyncio.create_task(controller.run())
    expected = {*(child.resource for child in CHILDREN), CONTROLLER_REVISIONS, PODS, CLASSIFIERS}
    while cluster.watched != expected:
        await asyncio.sleep(0)
        assert cluster.watched <= expected
        assert not running.done()
    controller.stop()
    await running


async def test_optional_children_are_deleted_in_the_order_of_the_table() -> None:
    cluster = RecordingCluster(*(live(child.kind) for child in CHILDREN))
    await apply_no_children(cluster)
    assert cluster.deleted == [child.kind for child in CHILDREN if child.optional]


@pytest.mark.parametrize("child", LIMITED, ids=lambda child: child.kind)
async def test_a_child_that_is_not_served_is_not_read(child: Child) -> None:
    cluster = RecordingCluster(unserved=child.kind)
    capabilities = await discover(cluster)
    assert not child.served(capabilities)
    assert [each.kind for each in CHILDREN if not each.served(capabilities)] == [child.kind]
    await apply_no_children(cluster, capabilities)
    params = Params(ic=PETS, config=CONFIG, capabilities=EVERYTHING)
    desired = {child: child.manifest(params) or {}}
    await apply_children(cluster, PETS, desired, capabilities=capabilities, history=WriteHistory())
    assert child.kind not in cluster.read


async def test_a_server_that_serves_everything_has_every_capability() -> None:
    assert await discover(RecordingCluster()) == EVERYTHING


def test_every_capability_belongs_to_one_child() -> None:
    apis = {field.name for field in fields(Capabilities)} - {"kubernetes"}
    assert sorted(child.capability or "" for child in LIMITED) == sorted(apis)


@pytest.mark.parametrize("child", CHILDREN, ids=lambda child: child.kind)
def test_a_kind_that_is_not_built_into_kubernetes_needs_a_capability(child: Child) -> None:
    assert (child.capability is None) is openapi.is_built_in(child.resource.group_version)


def test_a_builder_that_returns_none_belongs_to_an_optional_child() -> None:
    params = Params(ic=PETS, config=CONFIG, capabilities=EVERYTHING)
    gateway = Resource("gateway.networking.k8s.io/v1", "httproutes", "HTTPRoute")
    assert Child(resource=gateway, build=lambda _: None, optional=True).manifest(params) is None
    with pytest.raises(ValueError, match="HTTPRoute"):
        Child(resource=gateway, build=lambda _: None).manifest(params)


@pytest.mark.parametrize("child", CHILDREN, ids=lambda child: child.kind)
async def test_a_problem_says_whether_the_child_has_a_condition(child: Child) -> None:
    cluster = RecordingCluster(existing(PETS))
    cluster.rejected = {child.kind: ForbiddenError("no", status=403, reason="Forbidden")}
    desired = {child: {"kind": child.kind, "metadata": {"name": "pets"}, "spec": {}}}
    applied = await apply_children(cluster, PETS, desired, capabilities=EVERYTHING, history=WriteHistory())
    [problem] = applied.problems
    assert problem.has_condition is (child.condition is not None)
