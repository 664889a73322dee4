"""How a pass over the children handles conflicting objects, and an API server that rejects a child."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.api import (
    Autoscaling,
    ImageClassifier,
    ModelSource,
    OperatorConfig,
    Spec,
)
from imageclassifier_operator.api.network_policy import NetworkPolicy
from imageclassifier_operator.apply import Applied, OwnerDeletedError, WriteHistory, apply_children
from imageclassifier_operator.children import DEPLOYMENT, build_all
from imageclassifier_operator.kube import ConflictError, UnreachableError
from imageclassifier_operator.labels import child_labels
from imageclassifier_operator.manifests import Capabilities, Params
from imageclassifier_operator.ownership import MANAGER

from tests.unit.operator.scripted_cluster import StoredCluster, existing

if TYPE_CHECKING:
    from imageclassifier_operator.kube import Resource

CAPABILITIES = Capabilities(service_monitors=False)
SOURCE = ModelSource(name="pets", uris=("bundled:pets",), sha256="a" * 64)
PETS = ImageClassifier(namespace="vision", name="pets", uid="1", generation=1, spec=Spec(model=SOURCE))


def service(*, owner: str = "1", **metadata: Any) -> dict[str, Any]:
    reference = {"kind": "ImageClassifier", "name": "pets", "uid": owner, "controller": True}
    return {"kind": "Service", "metadata": {"name": "pets", "ownerReferences": [reference], **metadata}}


async def one_pass(
    cluster: StoredCluster,
    *,
    ic: ImageClassifier = PETS,
    capabilities: Capabilities = CAPABILITIES,
    history: WriteHistory | None = None,
) -> Applied:
    desired = build_all(Params(ic=ic, config=OperatorConfig(runtime_image="i"), capabilities=capabilities))
    known = WriteHistory() if history is None else history
    return await apply_children(cluster, ic, desired, capabilities=capabilities, history=known)


async def test_a_child_that_waits_for_its_finalizers_is_reported() -> None:
    terminating = service(deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["example.org/lb"])
    cluster = StoredCluster(terminating, existing(PETS))
    applied = await one_pass(cluster)
    [problem] = applied.problems
    assert (problem.reason, problem.transient) == ("Terminating", True)
    assert "example.org/lb" in problem.message
    assert not applied.again, "an immediate retry would be a busy loop until the child is deleted"
    assert cluster.live["Service"] is terminating


async def test_a_child_of_a_deleted_object_of_the_same_name_is_not_a_conflict() -> None:
    cluster = StoredCluster(service(owner="0"), existing(PETS))
    [problem] = (await one_pass(cluster)).problems
    assert (problem.reason, problem.transient) == ("Terminating", True)
    assert cluster.live["Service"]["metadata"]["ownerReferences"][0]["uid"] == "0"


@pytest.mark.parametrize("owners", [[], [{"kind": "Gateway", "name": "pets", "uid": "2", "controller": True}]])
async def test_an_object_of_another_owner_is_a_conflict(owners: list[dict[str, Any]]) -> None:
    cluster = StoredCluster(service(ownerReferences=owners), existing(PETS))
    [problem] = (await one_pass(cluster)).problems
    assert (problem.reason, problem.transient) == ("NameConflict", False)


def orphan(*, manager: str = MANAGER, operation: str = "Apply", **labels: str) -> dict[str, Any]:
    """Return a Service without a controller."""
    fields = [{"manager": manager, "operation": operation, "fieldsV1": {}}]
    all_labels = {**child_labels("pets"), **labels}
    return service(uid="9", resourceVersion="1", ownerReferences=[], labels=all_labels, managedFields=fields)


async def test_an_orphan_of_ours_is_adopted() -> None:
    cluster = StoredCluster(orphan(), existing(PETS))
    applied = await one_pass(cluster)
    assert applied.problems == []
    (reference,) = cluster.live["Service"]["metadata"]["ownerReferences"]
    assert (reference["uid"], reference["controller"]) == ("1", True)


@pytest.mark.parametrize(
    "owners", [[], [existing(PETS, deletionTimestamp="2026-01-01T00:00:00Z")], [existing(PETS, uid="2")]]
)
async def test_an_orphan_is_left_alone_if_its_owner_has_been_deleted(owners: list[dict[str, Any]]) -> None:
    """The owner reference would name an object that no longer exists, and the child would be deleted."""
    cluster = StoredCluster(orphan(), *owners)
    with pytest.raises(OwnerDeletedError):
        await one_pass(cluster)
    assert cluster.live["Service"]["metadata"]["ownerReferences"] == []


async def test_a_child_that_is_orphaned_while_it_is_written_is_left_alone() -> None:
    class OrphaningCluster(StoredCluster):
        async def get(self, resource: Resource, *, namespace: str, name: str) -> dict[str, Any] | None:
            live = copy.deepcopy(await super().get(resource, namespace=namespace, name=name))
            if resource.kind == "Service":
                self.live["Service"]["metadata"].update(ownerReferences=[], resourceVersion="2")
            return live

    cluster = OrphaningCluster(service(uid="9", resourceVersion="1"), existing(PETS))
    applied = await one_pass(cluster)
    assert applied.again
    assert cluster.live["Service"]["metadata"]["ownerReferences"] == []


@pytest.mark.parametrize(
    "other",
    [
        orphan(manager="kubectl"),
        orphan(operation="Update"),
        orphan(**{"app.kubernetes.io/instance": "other"}),
        orphan(**{"app.kubernetes.io/managed-by": "Helm"}),
    ],
)
async def test_an_object_that_only_looks_like_an_orphan_is_a_conflict(other: dict[str, Any]) -> None:
    cluster = StoredCluster(other, existing(PETS))
    [problem] = (await one_pass(cluster)).problems
    assert problem.reason == "NameConflict"
    assert cluster.live["Service"] is other


async def test_nothing_is_created_for_an_object_that_is_being_deleted() -> None:
    cluster = StoredCluster(existing(PETS, deletionTimestamp="2026-01-01T00:00:00Z"))
    with pytest.raises(OwnerDeletedError):
        await one_pass(cluster)
    assert cluster.applied == []


async def test_a_conflict_is_a_problem_only_if_it_does_not_pass() -> None:
    conflict = ConflictError("the object has been modified", status=409, reason="Conflict")
    cluster, history = StoredCluster(existing(PETS), rejected={"Service": conflict}), WriteHistory()
    passes = [await one_pass(cluster, history=history) for _ in range(4)]
    assert [applied.conflicted for applied in passes] == [True, True, True, False]
    assert [applied.problems for applied in passes[:3]] == [[], [], []]
    [problem] = passes[3].problems
    assert (problem.kind, problem.reason, problem.transient) == ("Service", "Conflict", True)
    cluster.rejected = {}
    assert (await one_pass(cluster, history=history)).problems == []
    cluster.live.pop("Service")
    cluster.rejected = {"Service": conflict}
    assert (await one_pass(cluster, history=history)).conflicted, "it counts from one"


async def test_no_pod_starts_while_the_write_of_its_network_policy_is_a_conflict() -> None:
    ic = replace(PETS, spec=Spec(model=SOURCE, network_policy=NetworkPolicy()))
    conflict = ConflictError("the object has been modified", status=409, reason="Conflict")
    cluster = StoredCluster(existing(ic), rejected={"NetworkPolicy": conflict})
    applied = await one_pass(cluster, ic=ic)
    assert applied.conflicted
    assert "Deployment" not in cluster.live


async def test_a_failing_webhook_affects_only_its_child() -> None:
    text = 'Internal error occurred: failed calling webhook "check.example.org": connection refused'
    failed = UnreachableError(text, status=500, reason="InternalError")
    cluster = StoredCluster(existing(PETS), rejected={"Deployment": failed})
    [problem] = (await one_pass(cluster)).problems
    assert (problem.kind, problem.reason, problem.message) == ("Deployment", "WebhookFailed", text)
    assert "Service" in cluster.live


@pytest.mark.parametrize(
    "text", ["failed to create typed patch object: duplicate entries for key", "etcdserver: request is too large"]
)
async def test_a_patch_that_is_rejected_with_500_affects_only_its_child(text: str) -> None:
    cluster = StoredCluster(existing(PETS), rejected={"Deployment": UnreachableError(text, status=500, reason="")})
    [problem] = (await one_pass(cluster)).problems
    assert (problem.kind, problem.reason, problem.transient) == ("Deployment", "Rejected", False)
    assert text in problem.message
    assert "Service" in cluster.live


@pytest.mark.parametrize("status", [0, 429, 500, 503])
async def test_an_unreachable_server_ends_the_pass(status: int) -> None:
    cluster = StoredCluster(
        existing(PETS), rejected={"Deployment": UnreachableError("etcdserver: timed out", status=status)}
    )
    with pytest.raises(UnreachableError):
        await one_pass(cluster)
    assert "Service" not in cluster.live


async def test_nothing_is_created_while_the_crd_is_being_deleted() -> None:
    cluster = StoredCluster(existing(PETS))
    before = Capabilities(service_monitors=True)
    [problem] = (await one_pass(cluster, capabilities=before)).problems
    assert (problem.kind, problem.reason, problem.transient) == ("ServiceMonitor", "CRDTerminating", True)
    assert "ServiceMonitor" not in cluster.live


async def test_somebody_who_stops_the_pods_under_an_autoscaler_again_and_again_is_outlasted() -> None:
    now = 0.0
    history = WriteHistory(clock=lambda: now)
    ic = replace(PETS, spec=Spec(model=SOURCE, autoscaling=Autoscaling(min_replicas=2)))
    desired = build_all(Params(ic=ic, config=OperatorConfig(runtime_image="i"), capabilities=CAPABILITIES))
    cluster = StoredCluster(existing(PETS))
    await apply_children(cluster, ic, desired, capabilities=CAPABILITIES, history=history)
    cluster.applied.clear()
    withheld = 0
    for _ in range(60):
        cluster.live["Deployment"] = {
            **desired[DEPLOYMENT],
            "spec": {**desired[DEPLOYMENT]["spec"], "replicas": 0},
        }
        cluster.live["Deployment"]["metadata"] = {**cluster.live["Service"]["metadata"], "resourceVersion": "1"}
        applied = await apply_children(cluster, ic, desired, capabilities=CAPABILITIES, history=history)
        withheld += applied.withheld
        now += 1
    assert withheld > 50
    assert cluster.applied.count("Deployment") < 20
    assert [field.path for field in applied.contested] == ["spec.replicas"]


@pytest.mark.parametrize(
    ("kind", "field", "withheld"), [("Service", "type", True), ("HorizontalPodAutoscaler", "maxReplicas", False)]
)
async def test_only_a_contest_about_a_child_without_a_condition_keeps_an_object_from_being_ready(
    kind: str, field: str, withheld: bool
) -> None:
    ic = replace(PETS, spec=Spec(model=SOURCE, autoscaling=Autoscaling()))
    desired = build_all(Params(ic=ic, config=OperatorConfig(runtime_image="i"), capabilities=CAPABILITIES))
    cluster, history = StoredCluster(existing(PETS)), WriteHistory(clock=lambda: 0.0)
    for _ in range(6):
        applied = await apply_children(cluster, ic, desired, capabilities=CAPABILITIES, history=history)
        cluster.live[kind]["spec"][field] = 99
    assert [each.path for each in applied.contested] == [f"spec.{field}"]
    assert applied.withheld is withheld
