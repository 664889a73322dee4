"""When an object is reconciled again, by what the last reconcile found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.api import CatalogueEntry, OperatorConfig
from imageclassifier_operator.apply import WriteHistory
from imageclassifier_operator.kube import ConflictError, ForbiddenError, Listing, Resource
from imageclassifier_operator.manifests import Capabilities
from imageclassifier_operator.ownership import MANAGER
from imageclassifier_operator.reconcile import MAX_EVENTS_SECONDS, POLL_SECONDS, Outcome, reconcile
from imageclassifier_operator.revisions import Waves

from tests.unit.operator.scripted_cluster import StoredCluster

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_operator.reconcile import Pass

CONFIG = OperatorConfig(
    runtime_image="runtime:test",
    default_model="pets",
    catalogue={"pets": CatalogueEntry(uris=("bundled:pets",), sha256="a" * 64)},
)
ROLLED_OUT = {"updatedReplicas": 1, "replicas": 1, "readyReplicas": 1, "availableReplicas": 1}


class ReconcilingCluster(StoredCluster):
    """A cluster in which every Deployment has the given status; `others` has its ReplicaSets and pods, by kind."""

    def __init__(
        self, *live: dict[str, Any], counts: dict[str, int] = ROLLED_OUT, rejected: str | None = None
    ) -> None:
        error = ForbiddenError("no", status=403, reason="Forbidden")
        super().__init__(*live, rejected={} if rejected is None else {rejected: error}, mutate=self._roll_out)
        self._counts = counts
        self.status: Mapping[str, Any] = {}
        self.events: list[tuple[str, str]] = []
        self._history = WriteHistory()
        self.waves = Waves(1)
        self.others: dict[str, list[dict[str, Any]]] = {}

    async def reconcile(self, *, unchanged: Pass | None = None) -> Outcome:
        return await reconcile(
            self,
            unchanged=unchanged,
            namespace="vision",
            name="pets",
            config=CONFIG,
            capabilities=Capabilities(service_monitors=False),
            history=self._history,
            waves=self.waves,
        )

    def _roll_out(self, live: dict[str, Any]) -> None:
        if live["kind"] == "Deployment":
            live["status"] = self._counts

    async def apply(
        self, resource: Resource, manifest: Mapping[str, Any], *, manager: str, subresource: str | None = None
    ) -> dict[str, Any]:
        if subresource is not None:
            self.status = manifest["status"]
            return {}
        return await super().apply(resource, manifest, manager=manager)

    def listed(self, resource: Resource, *, namespace: str | None, selector: str) -> Listing:
        stored = self.live.get("ControllerRevision") if resource.kind == "ControllerRevision" else None
        return Listing(self.others.get(resource.kind, []) if stored is None else [stored], "1")

    async def create(self, resource: Resource, manifest: Mapping[str, Any]) -> dict[str, Any]:
        self.events.append((manifest["reason"], manifest["message"]))
        return {}


def ready(cluster: ReconcilingCluster) -> Mapping[str, Any]:
    """Return the condition Ready."""
    found: Mapping[str, Any] = next(each for each in cluster.status["conditions"] if each["type"] == "Ready")
    return found


def classifier(**spec: Any) -> dict[str, Any]:
    metadata = {"namespace": "vision", "name": "pets", "uid": "1", "generation": 1, "resourceVersion": "1"}
    kind = {"apiVersion": "imageclassifier.dev/v1alpha1", "kind": "ImageClassifier"}
    return {**kind, "metadata": metadata, "spec": spec}


async def test_a_ready_object_waits_for_an_event() -> None:
    assert await ReconcilingCluster(classifier()).reconcile() == Outcome(result="ready", at_rest=True)


async def test_an_object_whose_children_are_unchanged_is_observed_and_not_applied_again() -> None:
    cluster = ReconcilingCluster(classifier(), counts={})
    first = await cluster.reconcile()
    assert first.passed is not None
    cluster.applied.clear()
    del cluster.live["Service"]
    failed = {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}
    replica_set = {"metadata": {"name": "pets-1", "uid": "r", "ownerReferences": [{"uid": "9"}]}}
    pod = {"metadata": {"name": "pets-1-a", "uid": "p", "ownerReferences": [{"uid": "r"}]}, "status": failed}
    cluster.others = {"ReplicaSet": [replica_set], "Pod": [pod]}
    again = await cluster.reconcile(unchanged=first.passed)
    assert again.passed is first.passed
    assert cluster.applied == []
    assert ready(cluster)["reason"] == "Evicted"


async def test_what_could_not_be_applied_is_read_again() -> None:
    cluster = ReconcilingCluster(classifier(), rejected="Service")
    outcome = await cluster.reconcile()
    assert outcome.passed is None
    assert not outcome.at_rest


async def test_an_object_that_is_not_ready_is_reconciled_again_soon() -> None:
    cluster = ReconcilingCluster(classifier(), counts={})
    assert await cluster.reconcile() == Outcome(result="waiting", poll_after=POLL_SECONDS)


@pytest.mark.parametrize("kind", ["Service", "HorizontalPodAutoscaler"])
async def test_a_rejected_child_is_applied_again_later(kind: str) -> None:
    cluster = ReconcilingCluster(classifier(autoscaling={}), rejected=kind)
    assert (await cluster.reconcile()).again, (
        "after the Deployment is created, its replicas are handed over to the autoscaler"
    )
    assert await cluster.reconcile() == Outcome(result="refused", poll_after=POLL_SECONDS)


async def test_revisions_that_cannot_be_written_are_reported_and_leave_the_deployment_as_it_is() -> None:
    cluster = ReconcilingCluster(classifier(), rejected="ControllerRevision")
    assert await cluster.reconcile() == Outcome(result="refused", poll_after=POLL_SECONDS)
    assert "Deployment" not in cluster.applied
    assert "Service" in cluster.applied
    assert ready(cluster)["reason"] == "Forbidden"
    assert ready(cluster)["message"].startswith("ControllerRevision: ")


async def test_a_paused_object_is_compared_and_not_written() -> None:
    cluster = ReconcilingCluster(classifier(paused=True))
    assert await cluster.reconcile() == Outcome(result="paused", poll_after=POLL_SECONDS)
    assert cluster.applied == []
    assert ready(cluster)["reason"] == "Paused"
    assert "Deployment pets is missing" in ready(cluster)["message"]


async def test_a_paused_object_without_a_difference_is_ready_and_says_that_it_is_paused() -> None:
    cluster = ReconcilingCluster(classifier())
    await cluster.reconcile()
    cluster.applied.clear()
    cluster.live["ImageClassifier"] = classifier(paused=True)
    assert (await cluster.reconcile()).result == "ready"
    assert cluster.applied == []
    assert ready(cluster)["message"].endswith("; spec.paused is true: the operator writes nothing")


async def test_a_paused_object_keeps_a_child_that_is_no_longer_requested() -> None:
    cluster = ReconcilingCluster(classifier(replicas=2))
    await cluster.reconcile()
    cluster.live["ImageClassifier"] = classifier(replicas=1, paused=True)
    await cluster.reconcile()
    assert ready(cluster)["message"] == (
        "Paused, so these changes are not applied: Deployment pets: spec.replicas from 2 to 1, "
        "PodDisruptionBudget pets is no longer requested; set spec.paused to false"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"autoscaling": {}}, "Deployment pets: spec.replicas is no longer requested"),
        (
            {"resources": {"limits": {"cpu": "2"}}},
            "Deployment pets: spec.template.spec.containers.server.resources.limits.cpu from 1 to 2",
        ),
        (
            {"runtime": {"env": [{"name": "image", "value": "s3cret"}]}},
            "Deployment pets: spec.template.spec.containers.server.env.image differs",
        ),
        (
            {"runtime": {"podAnnotations": {"corp/pull.image": "s3cret"}}},
            "Deployment pets: spec.template.metadata.annotations differs",
        ),
    ],
)
async def test_what_a_paused_object_does_not_apply_is_shown_without_secrets(
    changes: dict[str, Any], words: str
) -> None:
    cluster = ReconcilingCluster(classifier(replicas=2))
    await cluster.reconcile()
    owned = {"manager": MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    cluster.live["Deployment"]["metadata"]["managedFields"] = [owned]
    cluster.live["ImageClassifier"] = classifier(replicas=2, paused=True, **changes)
    await cluster.reconcile()
    message = ready(cluster)["message"]
    assert words in message
    assert "s3cret" not in message


async def test_a_paused_object_becomes_ready_with_its_accepted_revision() -> None:
    cluster = ReconcilingCluster(classifier(), counts={})
    await cluster.reconcile()
    assert "ready" not in cluster.status["revisions"]
    paused = classifier(paused=True)
    cluster.live["ImageClassifier"] = {**paused, "status": cluster.status}
    cluster.live["Deployment"]["status"] = ROLLED_OUT
    await cluster.reconcile()
    assert cluster.status["revisions"]["ready"] == cluster.status["revisions"]["accepted"]


async def test_a_paused_object_with_another_template_names_it_as_the_candidate() -> None:
    cluster = ReconcilingCluster(classifier())
    await cluster.reconcile()
    accepted = cluster.status["revisions"]["accepted"]
    paused = classifier(paused=True, rollout={"drainSeconds": 5})
    cluster.live["ImageClassifier"] = {**paused, "status": cluster.status}
    await cluster.reconcile()
    assert cluster.status["revisions"]["accepted"] == accepted
    assert cluster.status["revisions"]["candidate"] != accepted
    assert ready(cluster)["reason"] == "Paused"
    assert "RevisionAccepted" not in [reason for reason, _ in cluster.events]


async def test_an_object_with_an_invalid_spec_does_not_hold_an_upgrade() -> None:
    cluster = ReconcilingCluster(classifier(model={"name": "unknown"}))
    cluster.waves.report(("vision", "pets"), upgrading=True)
    await cluster.reconcile()
    assert cluster.waves.running == 0


async def test_a_changed_template_that_is_set_back_is_reported() -> None:
    cluster = ReconcilingCluster(classifier())
    await cluster.reconcile()
    cluster.live["ImageClassifier"] = {**classifier(), "status": cluster.status}
    live = cluster.live["Deployment"]
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    fields: dict[str, Any] = {"f:spec": {"f:template": {}}}
    live["metadata"]["managedFields"] = [
        {"manager": manager, "operation": operation, "fieldsV1": fields, "time": f"2026-01-01T00:00:0{second}Z"}
        for manager, operation, second in (("imageclassifier-operator", "Apply", 1), ("kubectl", "Update", 2))
    ]
    await cluster.reconcile()
    (event,) = [message for reason, message in cluster.events if reason == "PodTemplateReverted"]
    assert "changed by kubectl, is set back to revision pets-" in event


async def test_an_invalid_object_waits_for_another_spec() -> None:
    cluster = ReconcilingCluster(classifier(model={"name": "unknown"}))
    assert await cluster.reconcile() == Outcome(result="invalid")
    assert cluster.applied == []


async def test_the_children_of_the_last_valid_spec_are_repaired_while_the_spec_is_invalid() -> None:
    cluster = ReconcilingCluster(classifier(replicas=2))
    await cluster.reconcile()
    cluster.live["ImageClassifier"] = {
        **classifier(replicas=3, model={"name": "unknown"}),
        "status": cluster.status,
    }
    del cluster.live["Service"]
    cluster.live["Deployment"]["spec"]["replicas"] = 7
    assert (await cluster.reconcile()).result == "invalid"
    assert "Service" in cluster.live
    assert cluster.live["Deployment"]["spec"]["replicas"] == 2
    assert ready(cluster)["reason"] == "InvalidSpec"


async def test_a_child_that_cannot_be_repaired_is_named_with_the_invalid_spec() -> None:
    cluster = ReconcilingCluster(classifier())
    await cluster.reconcile()
    cluster.live["ImageClassifier"] = {**classifier(model={"name": "unknown"}), "status": cluster.status}
    del cluster.live["Service"]
    cluster.rejected = {"Service": ForbiddenError("no services", status=403, reason="Forbidden")}
    assert await cluster.reconcile() == Outcome(result="invalid", poll_after=POLL_SECONDS)
    assert "unknown" in ready(cluster)["message"]
    assert ready(cluster)["message"].endswith("Service: no services")


async def test_nothing_is_repaired_while_an_invalid_spec_is_paused() -> None:
    cluster = ReconcilingCluster(classifier())
    await cluster.reconcile()
    cluster.live["ImageClassifier"] = classifier(paused=True, model={"name": "unknown"})
    del cluster.live["Service"]
    await cluster.reconcile()
    assert "Service" not in cluster.live


@pytest.mark.parametrize("deleted", [True, False])
async def test_a_deleted_object_is_not_reconciled(deleted: bool) -> None:
    deleting = classifier()
    deleting["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    deleting["metadata"]["finalizers"] = ["example.org/hold"]
    cluster = ReconcilingCluster(*([] if deleted else [deleting]))
    assert await cluster.reconcile() == Outcome(result="gone")
    assert cluster.applied == []
    if not deleted:
        assert (ready(cluster)["status"], ready(cluster)["reason"]) == ("False", "Terminating")
        assert ready(cluster)["message"].endswith("; waiting for its finalizers: example.org/hold")


async def test_nothing_is_reported_about_a_child_that_changed_since_it_was_read() -> None:
    """The status would be about an earlier state, with the new generation."""
    cluster = ReconcilingCluster(classifier())
    cluster.rejected = {"Service": ConflictError("the object has been modified", status=409, reason="Conflict")}
    assert await cluster.reconcile() == Outcome(result="again", again=True)
    assert cluster.status == {}
    cluster.rejected = {}
    assert (await cluster.reconcile()).result == "ready"


async def test_a_conflict_of_the_revisions_that_does_not_pass_is_reported() -> None:
    cluster = ReconcilingCluster(classifier())
    conflict = ConflictError("the object has been modified", status=409, reason="Conflict")
    cluster.rejected = {"ControllerRevision": conflict}
    for _ in range(3):
        with pytest.raises(ConflictError):
            await cluster.reconcile()
    assert (await cluster.reconcile()).again is False
    assert (ready(cluster)["status"], ready(cluster)["reason"]) == ("False", "Conflict")
    assert "Deployment" not in cluster.applied


async def test_an_object_that_is_deleted_during_the_reconcile_gets_no_children() -> None:
    class DeletingCluster(ReconcilingCluster):
        async def get(self, resource: Resource, *, namespace: str, name: str) -> dict[str, Any] | None:
            live = await super().get(resource, namespace=namespace, name=name)
            if resource.kind == "ImageClassifier":
                self.live.pop(resource.kind, None)
            return live

    cluster = DeletingCluster(classifier())
    assert await cluster.reconcile() == Outcome(result="again", again=True)
    assert (cluster.applied, cluster.status) == ([], {})
    assert (await cluster.reconcile()).result == "gone"


async def test_the_status_is_for_the_version_that_was_read() -> None:
    """An object that was deleted and created again at the same time does not get the status of the one before."""

    class StatusCluster(ReconcilingCluster):
        async def apply(
            self, resource: Resource, manifest: Mapping[str, Any], *, manager: str, subresource: str | None = None
        ) -> dict[str, Any]:
            if subresource == "status":
                assert (manifest["metadata"]["uid"], manifest["metadata"]["resourceVersion"]) == ("1", "1")
                raise ConflictError("the object has been modified", status=409, reason="Conflict")
            return await super().apply(resource, manifest, manager=manager)

    cluster = StatusCluster(classifier())
    assert await cluster.reconcile() == Outcome(result="again", again=True)
    assert cluster.events == []


async def test_an_object_whose_pods_do_not_say_why_is_polled_more_often() -> None:
    cluster = ReconcilingCluster(classifier(), counts={})
    owner = {"ownerReferences": [{"uid": "9"}]}
    replica_set = {"metadata": {"name": "pets-1", "uid": "r", **owner}}
    pod = {"metadata": {"name": "pets-1-a", "uid": "p", "ownerReferences": [{"uid": "r"}]}, "status": {}}
    cluster.others = {"ReplicaSet": [replica_set], "Pod": [pod]}
    outcome = await cluster.reconcile()
    assert (outcome.poll_after, outcome.longest_poll) == (POLL_SECONDS, MAX_EVENTS_SECONDS)
