"""When an object is reconciled again, by what the last reconcile found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.api import CatalogueEntry, OperatorConfig
from imageclassifier_operator.apply import Overrides
from imageclassifier_operator.kube import ForbiddenError, Listing, Resource
from imageclassifier_operator.manifests import Capabilities
from imageclassifier_operator.reconcile import NOT_READY_SECONDS, PROBLEM_SECONDS, Outcome, reconcile

from tests.unit.operator.scripted_cluster import StoredCluster

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG = OperatorConfig(
    runtime_image="runtime:test",
    default_model="pets",
    catalogue={"pets": CatalogueEntry(uris=("bundled:pets",), sha256="a" * 64)},
)
ROLLED_OUT = {"updatedReplicas": 1, "replicas": 1, "readyReplicas": 1, "availableReplicas": 1}


class ReconcilingCluster(StoredCluster):
    """A cluster without ReplicaSets and pods, in which every Deployment has the given status."""

    def __init__(
        self, *live: dict[str, Any], counts: dict[str, int] = ROLLED_OUT, rejected: str | None = None
    ) -> None:
        error = ForbiddenError("no", status=403, reason="Forbidden")
        super().__init__(*live, rejected={} if rejected is None else {rejected: error}, mutate=self._roll_out)
        self._counts = counts
        self._overrides = Overrides()

    async def reconcile(self) -> Outcome:
        return await reconcile(
            self,
            namespace="vision",
            name="pets",
            config=CONFIG,
            capabilities=Capabilities(service_monitors=False),
            overrides=self._overrides,
        )

    def _roll_out(self, live: dict[str, Any]) -> None:
        if live["kind"] == "Deployment":
            live["status"] = self._counts

    async def apply(
        self, resource: Resource, manifest: Mapping[str, Any], *, manager: str, subresource: str | None = None
    ) -> dict[str, Any]:
        if subresource is not None:
            return {}
        return await super().apply(resource, manifest, manager=manager)

    async def list(
        self, resource: Resource, *, namespace: str | None, selector: str = "", metadata_only: bool = False
    ) -> Listing:
        return Listing([], "1")

    async def create(self, resource: Resource, manifest: Mapping[str, Any]) -> None:
        """Ignore Events."""


def classifier(**spec: Any) -> dict[str, Any]:
    metadata = {"namespace": "vision", "name": "pets", "uid": "1", "generation": 1, "resourceVersion": "1"}
    kind = {"apiVersion": "imageclassifier.dev/v1alpha1", "kind": "ImageClassifier"}
    return {**kind, "metadata": metadata, "spec": spec}


async def test_a_ready_object_waits_for_an_event() -> None:
    assert await ReconcilingCluster(classifier()).reconcile() == Outcome(requeue_after=None, result="ready")


async def test_an_object_that_is_not_ready_is_reconciled_again_soon() -> None:
    cluster = ReconcilingCluster(classifier(), counts={})
    assert await cluster.reconcile() == Outcome(requeue_after=NOT_READY_SECONDS, result="waiting")


@pytest.mark.parametrize("kind", ["Service", "HorizontalPodAutoscaler"])
async def test_a_rejected_child_is_applied_again_later(kind: str) -> None:
    cluster = ReconcilingCluster(classifier(autoscaling={}), rejected=kind)
    assert (await cluster.reconcile()).again, (
        "after the Deployment is created, its replicas are handed over to the autoscaler"
    )
    assert await cluster.reconcile() == Outcome(requeue_after=PROBLEM_SECONDS, result="refused")


async def test_an_invalid_object_waits_for_another_spec() -> None:
    cluster = ReconcilingCluster(classifier(model={"name": "unknown"}))
    assert await cluster.reconcile() == Outcome(requeue_after=None, result="invalid")


@pytest.mark.parametrize("deleted", [True, False])
async def test_a_deleted_object_is_not_reconciled(deleted: bool) -> None:
    deleting = classifier()
    deleting["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    cluster = ReconcilingCluster(*([] if deleted else [deleting]))
    assert await cluster.reconcile() == Outcome(requeue_after=None, result="gone")
    assert cluster.applied == []
