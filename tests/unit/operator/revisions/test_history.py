"""Which revision the Deployment of an ImageClassifier gets, and which revisions are stored."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.apply import OwnerDeletedError
from imageclassifier_operator.kube import Listing, Resource
from imageclassifier_operator.manifests.deployment import build
from imageclassifier_operator.ownership import MANAGER
from imageclassifier_operator.revisions import (
    ADOPT_ANNOTATION,
    UNTIL_READY,
    Cause,
    Decision,
    LeftoverError,
    last_accepted,
    record,
    resolve,
)

from tests.unit.operator.manifests.building import CONFIG, params_for
from tests.unit.operator.scripted_cluster import ScriptedCluster

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OTHER_CONFIG = replace(CONFIG, runtime_image="imageclassifier-runtime:next")
OWNER = {"kind": "ImageClassifier", "name": "pets", "uid": "uid-1", "controller": True}


def its_turn() -> str | None:
    return None


def not_its_turn() -> str | None:
    return "others are first"


class RevisionCluster(ScriptedCluster):
    """Stores ControllerRevisions, and has an ImageClassifier and perhaps a Deployment."""

    def __init__(self, *, deployment: dict[str, Any] | None = None, **spec: Any) -> None:
        super().__init__()
        self.deployment = deployment
        self.live: dict[str, Any] = {"metadata": {"name": "pets", "namespace": "vision", "uid": "uid-1"}}
        self.stored: dict[str, dict[str, Any]] = {}
        self.writes = 0
        self.change(**spec)

    def change(self, **spec: Any) -> None:
        """Change the spec; the status is then about an older generation."""
        self.live["spec"] = spec
        self.live["metadata"]["generation"] = self.live["metadata"].get("generation", 0) + 1

    def annotate(self, revision: str) -> None:
        self.live["metadata"]["annotations"] = {ADOPT_ANNOTATION: revision}

    def listed(self, resource: Resource, *, namespace: str | None, selector: str) -> Listing:
        assert resource.kind == "ControllerRevision"
        return Listing(copy.deepcopy(list(self.stored.values())), "1")

    async def get(self, resource: Resource, *, namespace: str, name: str) -> dict[str, Any] | None:
        return self.live if resource.kind == "ImageClassifier" else self.deployment

    async def apply(
        self, resource: Resource, manifest: Mapping[str, Any], *, manager: str, subresource: str | None = None
    ) -> dict[str, Any]:
        self.writes += 1
        metadata = {"uid": f"uid-{len(self.stored)}", "resourceVersion": "1", **manifest["metadata"]}
        self.stored[metadata["name"]] = copy.deepcopy({**manifest, "metadata": metadata})
        return self.stored[metadata["name"]]

    async def delete(self, resource: Resource, live: Mapping[str, Any]) -> None:
        self.writes += 1
        del self.stored[live["metadata"]["name"]]

    async def reconcile(
        self,
        *,
        config: Any = CONFIG,
        turn: Callable[[], str | None] = its_turn,
        ready: bool = True,
        serving: int | None = None,
    ) -> Decision:
        """Decide and store; the object then has the status Ready, or not Ready."""
        params = params_for(self.live["spec"], config=config)
        resolved = await resolve(self, params, self.live, turn=turn)
        await record(self, params, resolved)
        before = (self.live.get("status") or {}).get("revisions") or {}
        accepted = resolved.decision.accepted.name
        self.live["status"] = {
            "observedGeneration": self.live["metadata"]["generation"],
            "revisions": {**before, "accepted": accepted, **({"ready": accepted} if ready else {})},
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "readyReplicas": int(ready) if serving is None else serving,
        }
        return resolved.decision


async def test_the_first_revision_is_accepted_and_stored() -> None:
    cluster = RevisionCluster()
    decision = await cluster.reconcile()
    assert (decision.accepted.cause, decision.accepted.number) == (Cause.CREATED, 1)
    (stored,) = cluster.stored.values()
    assert stored["metadata"]["name"] == decision.accepted.name
    assert stored["data"]["template"] == build(params_for())["spec"]["template"]
    assert stored["metadata"]["ownerReferences"][0]["uid"] == "uid-1"


async def test_without_a_change_nothing_is_written() -> None:
    cluster = RevisionCluster()
    await cluster.reconcile()
    writes = cluster.writes
    assert (await cluster.reconcile()).before is None
    assert cluster.writes == writes


async def test_a_spec_with_another_template_is_accepted_at_once() -> None:
    cluster = RevisionCluster()
    first = await cluster.reconcile()
    cluster.change(rollout={"drainSeconds": 5})
    decision = await cluster.reconcile(turn=not_its_turn)
    assert (decision.accepted.cause, decision.accepted.number) == (Cause.SPEC_CHANGED, 2)
    assert decision.before is not None
    assert decision.before.name == first.accepted.name
    assert "spec.terminationGracePeriodSeconds" in decision.message


async def test_an_operator_that_renders_another_template_offers_a_candidate() -> None:
    cluster = RevisionCluster()
    first = await cluster.reconcile()
    decision = await cluster.reconcile(config=OTHER_CONFIG, turn=not_its_turn)
    assert decision.accepted.name == first.accepted.name
    assert decision.candidate is not None
    assert decision.message == (
        f"UpgradeAvailable: revision {decision.candidate.name} (spec.containers[server].image) is not adopted "
        "yet: others are first"
    )
    assert cluster.stored[decision.candidate.name]["revision"] == 0


async def test_a_candidate_is_accepted_when_it_is_the_turn_of_the_object() -> None:
    cluster = RevisionCluster()
    await cluster.reconcile()
    waiting = await cluster.reconcile(config=OTHER_CONFIG, turn=not_its_turn)
    decision = await cluster.reconcile(config=OTHER_CONFIG)
    assert waiting.candidate is not None
    assert (decision.accepted.name, decision.accepted.cause) == (waiting.candidate.name, Cause.UPGRADED)
    assert cluster.stored[decision.accepted.name]["revision"] == 2


@pytest.mark.parametrize("spec", [{"replicas": 4}, {"service": {"port": 8080}}, {"upgrade": "Manual"}])
async def test_a_spec_with_the_same_template_does_not_adopt_a_candidate(spec: dict[str, Any]) -> None:
    cluster = RevisionCluster()
    first = await cluster.reconcile()
    await cluster.reconcile(config=OTHER_CONFIG, turn=not_its_turn)
    cluster.change(**spec)
    decision = await cluster.reconcile(config=OTHER_CONFIG, turn=not_its_turn)
    assert decision.accepted.name == first.accepted.name
    assert decision.candidate is not None


async def test_a_change_of_the_spec_before_an_upgrade_is_not_taken_for_a_later_one() -> None:
    cluster = RevisionCluster()
    await cluster.reconcile()
    cluster.change(replicas=4)
    first = await cluster.reconcile()
    decision = await cluster.reconcile(config=OTHER_CONFIG, turn=not_its_turn)
    assert decision.accepted.name == first.accepted.name
    assert decision.accepted.spec == {"replicas": 4}


async def test_manual_waits_for_a_change_of_the_spec() -> None:
    cluster = RevisionCluster(upgrade="Manual")
    await cluster.reconcile()
    waiting = await cluster.reconcile(config=OTHER_CONFIG)
    assert waiting.message.endswith("is not adopted yet: spec.upgrade is Manual")
    cluster.change(upgrade="Manual", rollout={"drainSeconds": 5})
    decision = await cluster.reconcile(config=OTHER_CONFIG)
    assert decision.accepted.cause is Cause.SPEC_CHANGED
    assert decision.candidate is None
    assert list(cluster.stored) == [decision.before.name if decision.before else "", decision.accepted.name]


@pytest.mark.parametrize("upgrade", ["Manual", "Operator"])
async def test_the_annotation_adopts_the_candidate(upgrade: str) -> None:
    cluster = RevisionCluster(upgrade=upgrade)
    await cluster.reconcile()
    waiting = await cluster.reconcile(config=OTHER_CONFIG, turn=not_its_turn)
    assert waiting.candidate is not None
    cluster.annotate(waiting.candidate.name)
    decision = await cluster.reconcile(config=OTHER_CONFIG, turn=not_its_turn)
    assert (decision.accepted.name, decision.accepted.cause) == (waiting.candidate.name, Cause.ADOPTED)


async def test_the_annotation_with_another_revision_adopts_nothing() -> None:
    cluster = RevisionCluster(upgrade="Manual")
    first = await cluster.reconcile()
    cluster.annotate(first.accepted.name)
    decision = await cluster.reconcile(config=OTHER_CONFIG)
    assert decision.accepted.name == first.accepted.name


async def test_an_annotation_that_names_no_revision_is_reported() -> None:
    cluster = RevisionCluster()
    cluster.annotate("pets-typo")
    await cluster.reconcile()
    decision = await cluster.reconcile()
    assert decision.observed.message == (
        "The annotation imageclassifier.dev/adopt names pets-typo, which is no revision of this object"
    )
    waiting = await cluster.reconcile(config=OTHER_CONFIG, turn=not_its_turn)
    assert waiting.observed.message.endswith("others are first; " + decision.observed.message)


async def test_a_revision_of_a_deleted_object_of_the_same_name_is_awaited() -> None:
    cluster = RevisionCluster()
    await cluster.reconcile()
    for item in cluster.stored.values():
        item["metadata"]["ownerReferences"][0]["uid"] = "another"
    with pytest.raises(LeftoverError, match="of a deleted ImageClassifier still exists"):
        await cluster.reconcile()


async def test_a_revision_without_an_owner_is_owned_again() -> None:
    cluster = RevisionCluster()
    decision = await cluster.reconcile()
    cluster.stored[decision.accepted.name]["metadata"]["ownerReferences"] = []
    await cluster.reconcile()
    (owner,) = cluster.stored[decision.accepted.name]["metadata"]["ownerReferences"]
    assert owner["uid"] == "uid-1"


async def test_a_candidate_of_an_object_that_is_not_ready_waits() -> None:
    cluster = RevisionCluster()
    await cluster.reconcile()
    await cluster.reconcile(ready=False, serving=1)
    decision = await cluster.reconcile(config=OTHER_CONFIG, ready=False)
    assert decision.waits_for == UNTIL_READY


async def test_a_candidate_of_an_object_that_no_longer_serves_waits_only_for_its_turn() -> None:
    cluster = RevisionCluster()
    await cluster.reconcile()
    await cluster.reconcile(ready=False)
    waiting = await cluster.reconcile(config=OTHER_CONFIG, turn=not_its_turn, ready=False)
    assert waiting.waits_for == "others are first"
    assert (await cluster.reconcile(config=OTHER_CONFIG)).accepted.cause is Cause.UPGRADED


async def test_an_earlier_revision_is_adopted_in_its_turn_by_an_object_that_is_not_ready() -> None:
    cluster = RevisionCluster()
    first = await cluster.reconcile()
    await cluster.reconcile(config=OTHER_CONFIG)
    await cluster.reconcile(config=OTHER_CONFIG, ready=False, serving=1)
    assert (await cluster.reconcile(turn=not_its_turn, ready=False, serving=1)).waits_for == "others are first"
    assert (await cluster.reconcile()).accepted.name == first.accepted.name


async def test_a_candidate_of_an_object_that_serves_without_having_been_ready_waits() -> None:
    cluster = RevisionCluster()
    await cluster.reconcile(ready=False, serving=9)
    cluster.change(rollout={"drainSeconds": 5})
    await cluster.reconcile(ready=False, serving=9)
    decision = await cluster.reconcile(config=OTHER_CONFIG, turn=not_its_turn)
    assert decision.waits_for == UNTIL_READY


async def test_a_candidate_of_an_object_that_was_never_ready_is_accepted_at_once() -> None:
    cluster = RevisionCluster()
    await cluster.reconcile(ready=False)
    decision = await cluster.reconcile(config=OTHER_CONFIG, turn=not_its_turn)
    assert decision.accepted.cause is Cause.NEVER_READY


async def test_a_candidate_waits_if_a_replica_became_ready_while_no_operator_ran() -> None:
    """The status is from before, and would say that nothing is lost."""
    cluster = RevisionCluster()
    await cluster.reconcile(ready=False)
    cluster.deployment = {"metadata": {"ownerReferences": [OWNER]}, "status": {"readyReplicas": 1}}
    decision = await cluster.reconcile(config=OTHER_CONFIG, ready=False)
    assert decision.candidate is not None
    assert decision.waits_for == UNTIL_READY


async def test_an_upgrade_that_repairs_a_failed_one_is_part_of_it() -> None:
    cluster = RevisionCluster()
    await cluster.reconcile()
    await cluster.reconcile(config=OTHER_CONFIG, ready=False)
    repair = replace(CONFIG, runtime_image="imageclassifier-runtime:repaired")
    cluster.change(upgrade="Manual")
    decision = await cluster.reconcile(config=repair, turn=not_its_turn)
    assert decision.accepted.cause is Cause.UPGRADED


async def test_an_operator_that_is_rolled_back_accepts_the_earlier_revision_again() -> None:
    cluster = RevisionCluster()
    first = await cluster.reconcile()
    await cluster.reconcile(config=OTHER_CONFIG, ready=False)
    decision = await cluster.reconcile(turn=not_its_turn)
    assert (decision.accepted.name, decision.accepted.number) == (first.accepted.name, 3)
    assert decision.accepted.template == first.accepted.template
    assert len(cluster.stored) == 2


async def test_a_candidate_that_is_outdated_is_deleted() -> None:
    cluster = RevisionCluster()
    await cluster.reconcile()
    outdated = await cluster.reconcile(config=OTHER_CONFIG, turn=not_its_turn)
    await cluster.reconcile()
    assert outdated.candidate is not None
    assert outdated.candidate.name not in cluster.stored


async def test_the_last_five_revisions_are_kept() -> None:
    cluster = RevisionCluster()
    for seconds in range(8):
        cluster.change(rollout={"drainSeconds": seconds})
        await cluster.reconcile()
    await cluster.reconcile()
    assert sorted(item["revision"] for item in cluster.stored.values()) == [4, 5, 6, 7, 8]


def deployment_of_an_earlier_version(image: str) -> dict[str, Any]:
    """Return a live Deployment from before there were revisions."""
    live = build(params_for(config=replace(CONFIG, runtime_image=image)))
    leaves = {"f:spec": {"f:template": _all_fields(live["spec"]["template"])}}
    live["metadata"]["managedFields"] = [{"manager": MANAGER, "operation": "Apply", "fieldsV1": leaves}]
    live["metadata"]["ownerReferences"] = [OWNER]
    return live


def _all_fields(part: Mapping[str, Any]) -> dict[str, Any]:
    return {f"f:{key}": _all_fields(value) if isinstance(value, dict) else {} for key, value in part.items()}


async def test_the_template_of_an_earlier_version_is_taken_over() -> None:
    cluster = RevisionCluster(deployment=deployment_of_an_earlier_version("imageclassifier-runtime:old"))
    cluster.live["status"] = {
        "observedGeneration": 1,
        "readyReplicas": 1,
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    decision = await cluster.reconcile(turn=not_its_turn)
    assert (decision.accepted.cause, decision.accepted.number) == (Cause.TAKEN_OVER, 1)
    assert decision.accepted.template["spec"]["containers"][0]["image"] == "imageclassifier-runtime:old"
    assert decision.waits_for == "others are first"


@pytest.mark.parametrize("deleted_only", [True, False])
async def test_the_template_in_use_is_taken_over_if_the_accepted_revision_is_not_known(deleted_only: bool) -> None:
    cluster = RevisionCluster(upgrade="Manual")
    await cluster.reconcile()
    cluster.change(upgrade="Manual", rollout={"drainSeconds": 5})
    second = await cluster.reconcile()
    cluster.deployment = deployment_of_an_earlier_version("imageclassifier-runtime:old")
    if deleted_only:  # somebody has deleted the accepted revision
        del cluster.stored[second.accepted.name]
    else:  # an operator without revisions was in between; it drops the fields of the status that it does not know
        del cluster.live["status"]["revisions"]
    decision = await cluster.reconcile(turn=not_its_turn)
    assert (decision.accepted.cause, decision.accepted.number) == (Cause.TAKEN_OVER, 2 if deleted_only else 3)
    assert decision.accepted.template["spec"]["containers"][0]["image"] == "imageclassifier-runtime:old"
    assert decision.waits_for == "spec.upgrade is Manual"


async def test_a_stored_revision_that_is_in_use_is_kept_if_the_status_does_not_name_it() -> None:
    cluster = RevisionCluster()
    first = await cluster.reconcile()
    cluster.deployment = deployment_of_an_earlier_version(CONFIG.runtime_image)
    del cluster.live["status"]["revisions"]
    decision = await cluster.reconcile()
    assert decision.accepted == replace(first.accepted, uid="uid-0")


async def test_a_template_without_a_difference_is_taken_over_without_a_candidate() -> None:
    cluster = RevisionCluster(deployment=deployment_of_an_earlier_version(CONFIG.runtime_image))
    decision = await cluster.reconcile(turn=not_its_turn)
    assert decision.accepted.cause is Cause.TAKEN_OVER
    assert decision.candidate is None


async def test_a_spec_that_changed_while_no_operator_ran_is_accepted_at_the_takeover() -> None:
    cluster = RevisionCluster(deployment=deployment_of_an_earlier_version("imageclassifier-runtime:old"))
    cluster.live["status"] = {"observedGeneration": 0, "readyReplicas": 1}
    decision = await cluster.reconcile(turn=not_its_turn)
    assert decision.accepted.cause is Cause.SPEC_CHANGED


async def test_a_deployment_of_somebody_else_is_not_taken_over() -> None:
    foreign = deployment_of_an_earlier_version("nginx")
    foreign["metadata"]["ownerReferences"] = []
    foreign["metadata"]["managedFields"][0]["manager"] = "kubectl"
    decision = await RevisionCluster(deployment=foreign).reconcile()
    assert decision.accepted.cause is Cause.CREATED


async def test_an_orphaned_deployment_is_taken_over() -> None:
    orphan = deployment_of_an_earlier_version("nginx")
    orphan["metadata"]["ownerReferences"] = []
    decision = await RevisionCluster(deployment=orphan).reconcile()
    assert decision.before is not None
    assert decision.before.cause is Cause.TAKEN_OVER


async def test_a_spec_that_is_too_long_for_an_annotation_is_not_stored() -> None:
    variables = [{"name": f"V{number}", "value": "x" * 4096} for number in range(60)]
    cluster = RevisionCluster(runtime={"env": variables})
    decision = await cluster.reconcile()
    assert list(cluster.stored[decision.accepted.name]["metadata"]["annotations"]) == [
        "imageclassifier.dev/accepted-because"
    ]
    later = await cluster.reconcile(config=OTHER_CONFIG, turn=not_its_turn)
    assert later.candidate is not None


@pytest.mark.parametrize("text", ["{", "[]", "null"])
async def test_an_annotation_that_somebody_changed_counts_as_absent(text: str) -> None:
    cluster = RevisionCluster()
    first = await cluster.reconcile()
    cluster.stored[first.accepted.name]["metadata"]["annotations"]["imageclassifier.dev/last-reconciled-spec"] = (
        text
    )
    decision = await cluster.reconcile(config=OTHER_CONFIG, turn=not_its_turn)
    assert decision.candidate is not None


def orphaned(cluster: RevisionCluster) -> None:
    """Take the owner from all revisions, as a backup does that is restored without owner references."""
    for item in cluster.stored.values():
        item["metadata"]["ownerReferences"] = []
        item["metadata"]["managedFields"] = [{"manager": MANAGER, "operation": "Apply", "fieldsV1": {}}]


async def test_restored_revisions_are_all_adopted() -> None:
    cluster = RevisionCluster()
    await cluster.reconcile()
    for seconds in (5, 6):
        cluster.change(rollout={"drainSeconds": seconds})
        await cluster.reconcile()
    before = copy.deepcopy(cluster.stored)
    orphaned(cluster)
    await cluster.reconcile()
    owners = [item["metadata"]["ownerReferences"] for item in cluster.stored.values()]
    assert [[each["uid"] for each in owner] for owner in owners] == [["uid-1"]] * 3
    for name, item in cluster.stored.items():
        assert (item["revision"], item["data"]) == (before[name]["revision"], before[name]["data"])


async def test_revisions_without_an_owner_are_left_alone_if_the_object_is_being_deleted() -> None:
    """`kubectl delete --cascade=orphan` leaves them, and they would be deleted if they were adopted once more."""
    cluster = RevisionCluster()
    await cluster.reconcile()
    orphaned(cluster)
    before, live = copy.deepcopy(cluster.stored), copy.deepcopy(cluster.live)
    cluster.live["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    params = params_for(live["spec"], config=CONFIG)
    resolved = await resolve(cluster, params, live, turn=its_turn)
    with pytest.raises(OwnerDeletedError):
        await record(cluster, params, resolved)
    assert cluster.stored == before


async def test_the_last_accepted_revision_belongs_to_the_object_and_is_the_one_of_its_status() -> None:
    cluster = RevisionCluster()
    first = await cluster.reconcile()
    cluster.change(rollout={"drainSeconds": 5})
    second = await cluster.reconcile()
    found = await last_accepted(cluster, cluster.live)
    assert found is not None
    assert found.name == second.accepted.name
    del cluster.stored[second.accepted.name]
    assert await last_accepted(cluster, cluster.live) is None, f"not {first.accepted.name}, an older model"
    cluster.live["status"] = {}
    assert await last_accepted(cluster, cluster.live) is not None
    orphaned(cluster)
    assert await last_accepted(cluster, cluster.live) is None, "it may be that of a deleted object"
