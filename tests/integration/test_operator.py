"""The operator against a real API server without nodes."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from e2e.cluster import programs
from tests.integration.operator_harness import (
    REQUIRED,
    SHA,
    Api,
    OperatorCluster,
    classifier,
    condition,
    controlled_by,
    eventually,
    failed_init,
    no_writes,
    pods_of,
    reconciled,
    running,
    spec_of,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator


@pytest.fixture(scope="module", autouse=True)
def operator(cluster: OperatorCluster) -> Iterator[subprocess.Popen[str]]:
    with cluster.operator() as process:
        yield process


def test_an_empty_spec_gets_every_child(cluster: OperatorCluster, api: Api) -> None:
    api.apply(classifier())
    live = reconciled(api)
    assert all(controlled_by(api, kind) for kind in REQUIRED)
    assert live["status"]["readySummary"] == "0/1"
    assert live["status"]["url"] == f"http://pets.{api.namespace}.svc"
    assert condition(live)["status"] == "False"
    assert condition(live, "MonitoringReady")["reason"] == "CRDNotInstalled"
    assert "finalizers" not in live["metadata"]
    assert not [key for key in live["metadata"].get("annotations", {}) if "kopf" in key]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"autoscaling": {"targetMemoryUtilization": 80, "targetCPUUtilization": 60}},
        {"networkPolicy": {"allowFrom": [{"podSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}]}},
        {"networkPolicy": {"allowMetricsFrom": []}},
    ],
)
def test_an_event_without_a_change_writes_nothing(
    cluster: OperatorCluster, api: Api, spec: dict[str, Any]
) -> None:
    api.apply(classifier(**spec))
    reconciled(api)
    eventually(lambda: no_writes(cluster, seconds=3), seconds=40, what="the operator to stop writing")
    before = cluster.audit_position()
    for kind in ("serviceaccount", "service", "ic"):  # annotating a Deployment changes its generation
        api.run("annotate", kind, "pets", "example.org/note=changed")
    eventually(lambda: no_writes(cluster, seconds=3), what="the operator to stop writing")
    assert cluster.operator_writes(since=before) == []


@pytest.mark.parametrize("kind", REQUIRED)
def test_a_deleted_child_is_recreated(cluster: OperatorCluster, api: Api, kind: str) -> None:
    api.apply(classifier())
    reconciled(api)
    before = api.get(kind, "pets")
    assert before is not None
    api.run("delete", kind, "pets", "--wait=false")

    def recreated() -> bool:
        live = api.get(kind, "pets")
        return live is not None and live["metadata"]["uid"] != before["metadata"]["uid"]

    eventually(recreated, seconds=10, what=f"a new {kind}")


def test_an_edited_field_is_restored_and_a_field_of_another_manager_is_kept(
    cluster: OperatorCluster, api: Api
) -> None:
    api.apply(classifier())
    reconciled(api)
    api.patch("deployment", "pets", {"spec": {"replicas": 7, "minReadySeconds": 3}})
    eventually(lambda: spec_of(api)["replicas"] == 1, seconds=10, what="one replica again")
    assert spec_of(api)["minReadySeconds"] == 3


def test_kubectl_scale_scales(cluster: OperatorCluster, api: Api) -> None:
    api.apply(classifier())
    reconciled(api)
    api.run("scale", "ic/pets", "--replicas=3")
    eventually(lambda: spec_of(api)["replicas"] == 3, what="three replicas")


def test_a_field_removed_from_the_spec_is_removed_from_the_child(cluster: OperatorCluster, api: Api) -> None:
    api.apply(classifier(service={"type": "NodePort", "port": 8080}))
    eventually(lambda: port_of(api).get("nodePort"), what="a node port")
    # The operator may write the status between kubectl's read and write, which is a conflict.
    eventually(
        lambda: api.run("replace", "-f", "-", stdin=json.dumps(classifier())), what="the object to be replaced"
    )
    eventually(lambda: "nodePort" not in port_of(api) and port_of(api)["port"] == 80, what="no node port")


def port_of(api: Api) -> dict[str, Any]:
    service = api.get("service", "pets")
    assert service is not None
    port: dict[str, Any] = service["spec"]["ports"][0]
    return port


@pytest.mark.parametrize("allow_metrics_from", [[], [{"podSelector": {}}]], ids=["nobody", "peer"])
def test_a_network_policy_that_someone_widens_is_restored(
    cluster: OperatorCluster, api: Api, allow_metrics_from: list[dict[str, Any]]
) -> None:
    api.apply(classifier(networkPolicy={"allowMetricsFrom": allow_metrics_from}))
    reconciled(api)
    desired = policy_of(api)
    smtp = {"protocol": "TCP", "port": 25}
    changes: list[dict[str, Any]] = [
        {"ingress": [{}]},
        {"ingress": [*desired.get("ingress", []), {}]},
        {"egress": [{}]},
        {"egress": [{"ports": [*desired["egress"][0]["ports"], smtp]}]},
        {"podSelector": {"matchLabels": {**desired["podSelector"]["matchLabels"], "tier": "none"}}},
        {"policyTypes": ["Ingress"]},
    ]
    for widened in changes:
        api.patch("networkpolicy", "pets", {"spec": widened})
        eventually(lambda: policy_of(api) == desired, what=f"{widened} to be reverted")


def test_switching_the_network_policy_on_and_off(cluster: OperatorCluster, api: Api) -> None:
    api.apply(classifier(networkPolicy={}))
    reconciled(api)
    assert controlled_by(api, "networkpolicy")
    api.apply(classifier())
    eventually(lambda: api.get("networkpolicy", "pets") is None, what="the NetworkPolicy to be deleted")
    reconciled(api)


def policy_of(api: Api) -> dict[str, Any]:
    policy = api.get("networkpolicy", "pets")
    assert policy is not None
    spec: dict[str, Any] = policy["spec"]
    return spec


def test_switching_autoscaling_on_and_off_keeps_the_replicas(cluster: OperatorCluster, api: Api) -> None:
    api.apply(classifier(replicas=4))
    reconciled(api)
    api.patch("ic", "pets", {"spec": {"autoscaling": {"minReplicas": 2, "maxReplicas": 6}}})
    eventually(lambda: api.get("hpa", "pets"), what="an autoscaler")
    eventually(
        lambda: "f:replicas" not in fields_of(api, "imageclassifier-operator"),
        what="the handover of spec.replicas",
    )
    assert spec_of(api)["replicas"] == 4
    # as the autoscaler does
    api.run("scale", "deployment/pets", "--replicas=5")
    api.run("annotate", "ic", "pets", "example.org/note=changed")
    eventually(lambda: no_writes(cluster, seconds=2), what="the operator to stop writing")
    assert spec_of(api)["replicas"] == 5
    api.patch("ic", "pets", {"spec": {"autoscaling": None}})
    eventually(lambda: api.get("hpa", "pets") is None, what="no autoscaler")
    eventually(lambda: spec_of(api)["replicas"] == 4, what="the replicas of the spec")


def fields_of(api: Api, manager: str) -> str:
    path = f"/apis/apps/v1/namespaces/{api.namespace}/deployments/pets"  # kubectl get omits managedFields
    live = json.loads(api.run("get", "--raw", path))
    return json.dumps([entry for entry in live["metadata"]["managedFields"] if entry["manager"] == manager])


def test_a_deployment_under_autoscaling_starts_at_its_minimum(cluster: OperatorCluster, api: Api) -> None:
    api.apply(classifier(autoscaling={"minReplicas": 3}))
    reconciled(api)
    assert spec_of(api)["replicas"] == 3
    eventually(
        lambda: "f:replicas" in fields_of(api, "imageclassifier-operator-replicas"),
        what="the handover of spec.replicas",
    )


def test_an_object_of_another_owner_is_not_changed_and_reported(cluster: OperatorCluster, api: Api) -> None:
    api.run("create", "service", "clusterip", "pets", "--tcp=9:9")
    api.apply(classifier())
    eventually(lambda: condition(api.get("ic", "pets"))["reason"] == "NameConflict", what="NameConflict")
    assert condition(api.get("ic", "pets"), "Stalled")["status"] == "True"
    assert port_of(api)["port"] == 9
    api.run("delete", "service", "pets")
    eventually(lambda: controlled_by(api, "service"), seconds=45, what="our own Service")


def test_an_invalid_spec_stalls_and_does_not_change_the_children(cluster: OperatorCluster, api: Api) -> None:
    api.apply(classifier(replicas=2))
    reconciled(api)
    api.patch("ic", "pets", {"spec": {"model": {"name": "resnet-50"}, "replicas": 1}})
    eventually(lambda: condition(api.get("ic", "pets"))["reason"] == "InvalidSpec", what="InvalidSpec")
    live = api.get("ic", "pets")
    assert condition(live, "Stalled")["status"] == "True"
    assert "resnet-50" in condition(live)["message"]
    assert spec_of(api)["replicas"] == 2
    api.run("delete", "service", "pets")
    eventually(lambda: controlled_by(api, "service"), what="the Service of the last valid spec")
    assert condition(api.get("ic", "pets"))["reason"] == "InvalidSpec"
    api.patch("ic", "pets", {"spec": {"model": {"name": None}}})
    eventually(lambda: spec_of(api)["replicas"] == 1, what="the valid spec to be applied")


def test_the_status_of_a_pod_becomes_conditions(cluster: OperatorCluster, api: Api) -> None:
    api.apply(classifier())
    name: str = eventually(lambda: pods_of(api)[0]["metadata"]["name"], what="a pod")
    message = json.dumps({"reason": "ModelDigestMismatch", "message": f"expected sha256 {SHA}, got {'6' * 64}"})
    api.patch_status("pods", name, failed_init(message))
    eventually(lambda: condition(api.get("ic", "pets"))["reason"] == "ModelDigestMismatch", what="the cause")
    live = api.get("ic", "pets")
    assert "6" * 64 in condition(live)["message"]
    assert condition(live, "Stalled")["status"] == "True"
    table = api.run("get", "ic")
    assert "ModelDigestMismatch" in table
    facts = json.dumps({"name": "pets", "sha256": SHA, "precision": "FP32", "classes": 10})
    api.patch_status("pods", name, running(facts))
    eventually(lambda: condition(api.get("ic", "pets"))["status"] == "True", what="Ready")
    live = api.get("ic", "pets")
    assert live is not None
    assert live["status"]["model"]["classes"] == 10
    assert live["status"]["readySummary"] == "1/1"


def test_objects_of_the_same_name_in_two_namespaces_are_independent(cluster: OperatorCluster, api: Api) -> None:
    other = cluster.fresh_namespace()
    api.apply(classifier(replicas=1))
    other.apply(classifier(replicas=2))
    reconciled(api)
    reconciled(other)
    other.run("delete", "ic", "pets")
    eventually(lambda: other.get("deployment", "pets") is None, seconds=30, what="no Deployment in that namespace")
    assert spec_of(api)["replicas"] == 1


def test_an_object_recreated_under_its_name_gets_its_own_children(cluster: OperatorCluster, api: Api) -> None:
    api.apply(classifier())
    reconciled(api)
    api.run("delete", "ic", "pets")
    api.apply(classifier())
    for kind in REQUIRED:
        eventually(partial(controlled_by, api, kind), seconds=60, what=f"a {kind} of the new owner")


def test_the_user_namespace_is_stored_or_reported_as_unknown_to_the_server(
    cluster: OperatorCluster, api: Api, kubernetes: programs.Module
) -> None:
    api.apply(classifier(runtime={"hostUsers": False}))
    message = condition(reconciled(api))["message"]
    if kubernetes is programs.OLDEST:
        assert "spec.runtime.hostUsers is not applied: it needs Kubernetes 1.33, this is 1.30" in message
    else:
        assert spec_of(api)["template"]["spec"]["hostUsers"] is False
        assert "hostUsers" not in message
    eventually(lambda: no_writes(cluster, seconds=3), seconds=40, what="the operator to stop writing")


def test_a_quota_on_disk_counts_the_requests_and_limits_of_the_spec(cluster: OperatorCluster, api: Api) -> None:
    hard = {"requests.ephemeral-storage": "100Mi", "limits.ephemeral-storage": "1Gi"}
    api.apply({**_named("ResourceQuota", "disk"), "spec": {"hard": hard}})
    eventually(lambda: (api.get("resourcequota", "disk") or {})["status"]["hard"], what="the quota to be enforced")
    disk = {"requests": {"ephemeral-storage": "128Mi"}, "limits": {"ephemeral-storage": "512Mi"}}
    api.apply(classifier(resources=disk))
    eventually(lambda: condition(api.get("ic", "pets"))["reason"] == "FailedCreate", what="FailedCreate")
    assert (
        "exceeded quota: disk, requested: requests.ephemeral-storage=128Mi"
        in condition(api.get("ic", "pets"))["message"]
    )

    disk["requests"]["ephemeral-storage"] = "64Mi"
    api.apply(classifier(resources=disk))
    pod = eventually(lambda: pods_of(api)[0], seconds=30, what="a pod")
    for each in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
        assert each["resources"]["requests"]["ephemeral-storage"] == "64Mi"
        assert each["resources"]["limits"]["ephemeral-storage"] == "512Mi"


def test_a_limit_range_sets_the_disk_of_pods_whose_spec_does_not(cluster: OperatorCluster, api: Api) -> None:
    defaults = {
        "type": "Container",
        "default": {"ephemeral-storage": "1Gi"},
        "defaultRequest": {"ephemeral-storage": "64Mi"},
    }
    api.apply({**_named("LimitRange", "disk"), "spec": {"limits": [defaults]}})
    api.apply(classifier())
    pod = eventually(lambda: pods_of(api)[0], what="a pod")
    for each in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
        assert each["resources"]["requests"]["ephemeral-storage"] == "64Mi"
        assert each["resources"]["limits"]["ephemeral-storage"] == "1Gi"
    eventually(lambda: no_writes(cluster, seconds=3), seconds=40, what="the operator to stop writing")


def _named(kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}


def test_an_evicted_pod_is_reported_until_its_replacement_serves(cluster: OperatorCluster, api: Api) -> None:
    api.apply(classifier())
    first: str = eventually(lambda: pods_of(api)[0]["metadata"]["name"], what="a pod")
    low = "The node was low on resource: ephemeral-storage. Threshold quantity: 10, available: 9. "
    api.patch_status("pods", first, {"phase": "Failed", "reason": "Evicted", "message": low})
    eventually(lambda: condition(api.get("ic", "pets"))["reason"] == "Evicted", what="Evicted")
    assert "raise spec.resources.requests.ephemeral-storage" in condition(api.get("ic", "pets"))["message"]

    second = eventually(lambda: [name for name in names_of_pods(api) if name != first], what="its replacement")
    api.patch_status("pods", second[0], running())
    eventually(lambda: condition(api.get("ic", "pets"))["status"] == "True", what="Ready")
    assert first in names_of_pods(api)


def names_of_pods(api: Api) -> list[str]:
    return [pod["metadata"]["name"] for pod in pods_of(api)]
