"""What becomes of the fields of others if a write is refused."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.apply.overwrite import FutileTakeovers, overwrite
from imageclassifier_operator.children import DEPLOYMENT
from imageclassifier_operator.kube import ConflictError, ForbiddenError, KubeError, RejectedError, UnreachableError

from tests.unit.operator.scripted_cluster import StoredCluster

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imageclassifier_operator.kube import Resource

PROBE = "spec.template.spec.containers[0].livenessProbe.httpGet"
THEIRS = {
    "manager": "kubectl-edit",
    "operation": "Update",
    "fieldsV1": {
        "f:spec": {
            "f:template": {
                "f:spec": {"f:containers": {'k:{"name":"server"}': {"f:livenessProbe": {"f:exec": {}}}}}
            }
        }
    },
}


def deployment(probe: dict[str, Any]) -> dict[str, Any]:
    container = {"name": "server", "image": "runtime", "livenessProbe": probe}
    names = {"namespace": "vision", "name": "pets", "uid": "9", "resourceVersion": "1"}
    metadata = {**names, "managedFields": [THEIRS]}
    spec = {"template": {"spec": {"containers": [container]}}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


class RefusingCluster(StoredCluster):
    """Refuses the first writes, and records who owned the fields."""

    def __init__(self, live: dict[str, Any], *errors: KubeError) -> None:
        super().__init__(live)
        self.errors = list(errors)
        self.managed_fields: list[Sequence[Mapping[str, Any]]] = []

    async def apply(
        self, resource: Resource, manifest: Mapping[str, Any], *, manager: str, subresource: str | None = None
    ) -> dict[str, Any]:
        if self.errors:
            raise self.errors.pop(0)
        return await super().apply(resource, manifest, manager=manager)

    async def set_managed_fields(
        self, resource: Resource, live: Mapping[str, Any], managed_fields: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        stored, version = self.live[resource.kind], live["metadata"]["resourceVersion"]
        if stored["metadata"]["resourceVersion"] != version:
            raise ConflictError("the object has been modified", status=409, reason="Conflict")
        self.managed_fields.append(managed_fields)
        changed = {"managedFields": managed_fields, "resourceVersion": str(int(version) + 1)}
        self.live[resource.kind] = {**stored, "metadata": {**stored["metadata"], **changed}}
        return self.live[resource.kind]


def invalid(*fields: str) -> RejectedError:
    return RejectedError("invalid", status=422, reason="Invalid", fields=fields)


async def run(*errors: KubeError, futile: FutileTakeovers | None = None) -> RefusingCluster:
    """Write over a probe of another kind; return the cluster, also if the write is refused in the end."""
    known = FutileTakeovers() if futile is None else futile
    live = deployment({"exec": {"command": ["true"]}})
    cluster = RefusingCluster(live, *errors)
    desired = deployment({"httpGet": {"path": "/live"}})
    with contextlib.suppress(KubeError):
        await overwrite(cluster, DEPLOYMENT.resource, desired, live, futile=known)
    return cluster


def managers(cluster: RefusingCluster) -> list[list[str]]:
    return [[entry["manager"] for entry in entries] for entries in cluster.managed_fields]


async def test_what_is_in_the_way_is_taken_over_and_removed() -> None:
    cluster = await run(invalid(PROBE))
    assert managers(cluster) == [["imageclassifier-operator"]]
    assert cluster.applied == ["Deployment"]


async def test_it_is_given_back_if_it_was_not_the_reason() -> None:
    cluster = await run(invalid(PROBE), invalid(PROBE))
    assert managers(cluster) == [["imageclassifier-operator"], ["kubectl-edit"]]
    assert cluster.applied == []


@pytest.mark.parametrize(
    "second",
    [
        RejectedError("denied by a webhook", status=400, reason="BadRequest"),
        RejectedError("denied by a policy", status=422, reason="Invalid"),
        ForbiddenError("quota", status=403, reason="Forbidden"),
        UnreachableError("timeout"),
    ],
)
async def test_it_stays_taken_if_the_second_write_fails_for_another_reason(second: KubeError) -> None:
    """It was one reason, so that the next reconcile needs no takeover, which would be an event each time."""
    futile = FutileTakeovers()
    assert managers(await run(invalid(PROBE), second, futile=futile)) == [["imageclassifier-operator"]]
    assert managers(await run(invalid(PROBE), futile=futile)) == [["imageclassifier-operator"]]


async def test_what_was_not_the_reason_is_not_taken_over_again() -> None:
    """Each of these writes is an event, so that the next reconcile would follow at once, for ever."""
    now = 0.0
    futile = FutileTakeovers(clock=lambda: now)
    await run(invalid(PROBE), invalid(PROBE), futile=futile)
    now = 299.0
    assert managers(await run(invalid(PROBE), futile=futile)) == []
    other = f"{PROBE}.path"
    assert managers(await run(invalid(PROBE, other), futile=futile)) == [["imageclassifier-operator"]]
    now = 300.0
    assert managers(await run(invalid(PROBE), futile=futile)) == [["imageclassifier-operator"]]


async def test_what_was_taken_over_is_also_removed_if_the_status_changes_at_the_same_time() -> None:
    """Otherwise, the field would stay ours, and a later write would remove it, whatever was the reason."""
    conflict = ConflictError("the object has been modified", status=409, reason="Conflict")
    cluster = await run(invalid(PROBE), conflict)
    assert cluster.applied == ["Deployment"]


async def test_it_is_given_back_also_if_the_status_has_changed_since_the_takeover() -> None:
    status = {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status"}

    class BusyCluster(RefusingCluster):
        async def apply(
            self, resource: Resource, manifest: Mapping[str, Any], *, manager: str, subresource: str | None = None
        ) -> dict[str, Any]:
            if len(self.errors) == 2:  # the first write after the takeover
                stored = self.live[resource.kind]
                fields = [*stored["metadata"]["managedFields"], status]
                changed = {"managedFields": fields, "resourceVersion": "9"}
                self.live[resource.kind] = {**stored, "metadata": {**stored["metadata"], **changed}}
            return await super().apply(resource, manifest, manager=manager)

    live = deployment({"exec": {"command": ["true"]}})
    conflict = ConflictError("the object has been modified", status=409, reason="Conflict")
    cluster = BusyCluster(live, invalid(PROBE), conflict, invalid(PROBE))
    desired = deployment({"httpGet": {"path": "/live"}})
    with pytest.raises(RejectedError):
        await overwrite(cluster, DEPLOYMENT.resource, desired, live, futile=FutileTakeovers())
    assert managers(cluster) == [["imageclassifier-operator"], ["kubectl-edit", "kube-controller-manager"]]


async def test_a_child_that_was_detached_after_the_takeover_is_left_alone() -> None:
    class DetachingCluster(RefusingCluster):
        async def get(self, resource: Resource, *, namespace: str, name: str) -> dict[str, Any] | None:
            live = self.live[resource.kind]
            return {**live, "metadata": {**live["metadata"], "ownerReferences": []}}

    live = deployment({"exec": {"command": ["true"]}})
    live["metadata"]["ownerReferences"] = [{"uid": "1", "controller": True}]
    conflict = ConflictError("the object has been modified", status=409, reason="Conflict")
    cluster = DetachingCluster(live, invalid(PROBE), conflict)
    desired = deployment({"httpGet": {"path": "/live"}})
    with pytest.raises(ConflictError):
        await overwrite(cluster, DEPLOYMENT.resource, desired, live, futile=FutileTakeovers())
    assert cluster.applied == []


async def test_defaults_of_the_api_server_are_not_taken_over() -> None:
    refused = "spec.template.spec.containers[0].livenessProbe"
    ours = {
        "manager": "imageclassifier-operator",
        "operation": "Apply",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
    }
    live = deployment({"exec": {"command": ["true"]}, "successThreshold": 1})
    live["metadata"]["managedFields"] = [THEIRS, ours]
    cluster = RefusingCluster(live, invalid(refused))
    desired = deployment({"httpGet": {"path": "/live"}})
    await overwrite(cluster, DEPLOYMENT.resource, desired, live, futile=FutileTakeovers())
    assert "successThreshold" not in str(cluster.managed_fields)


@pytest.mark.parametrize(
    "error",
    [invalid(), invalid("spec.replicas"), RejectedError("no", status=403, reason="Forbidden", fields=(PROBE,))],
    ids=["a policy", "another field", "forbidden"],
)
async def test_fields_of_others_stay_theirs_if_something_else_is_refused(error: RejectedError) -> None:
    cluster = await run(error)
    assert managers(cluster) == []
    assert cluster.applied == []
