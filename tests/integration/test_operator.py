"""The operator's promises, against a real API server without nodes."""

from __future__ import annotations

import json
from functools import partial
from time import sleep
from typing import TYPE_CHECKING, Any

import pytest

from e2e.cluster.controlplane import ControlPlane
from tests.integration.operator_harness import (
    OPERATOR_USER,
    REPOSITORY,
    Api,
    Bench,
    classifier,
    condition,
    eventually,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

SHA = "5" * 64
CHILDREN = ("serviceaccount", "deployment", "service")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("operator")
    catalogue = directory / "catalogue.yaml"
    catalogue.write_text(
        json.dumps({"cifar10-mobilenet-v2": {"uris": ["bundled:cifar10-mobilenet-v2"], "sha256": SHA}})
    )
    with ControlPlane(directory / "plane", controller_manager=True) as plane:
        admin = Api(plane.kubeconfig)
        admin.run("apply", "-k", str(REPOSITORY / "operator/deploy/pre-1.25"))
        admin.run("wait", "--for=condition=Established", "crd/imageclassifiers.imageclassifier.dev")
        kubeconfig = plane.issue_kubeconfig("operator", user=OPERATOR_USER)
        yield Bench(plane=plane, catalogue=catalogue, operator_kubeconfig=kubeconfig)


@pytest.fixture
def api(bench: Bench) -> Api:
    return bench.fresh_namespace()


@pytest.fixture
def operator(bench: Bench) -> Iterator[subprocess.Popen[str]]:
    with bench.operator() as process:
        yield process


def settled(bench: Bench, api: Api, name: str = "pets") -> dict[str, Any]:
    """The object, once the operator has seen its newest generation and has nothing left to write."""

    def look() -> dict[str, Any] | None:
        live = api.get("ic", name)
        assert live is not None
        seen = live["status"]["observedGeneration"] == live["metadata"]["generation"]
        known = condition(live)["reason"] not in {"DeploymentMissing", "RolloutPending"}
        return live if seen and known else None

    return eventually(look, what=f"a settled {name}")


def controlled_by(api: Api, kind: str, name: str = "pets") -> bool:
    child, owner = api.get(kind, name), api.get("ic", name)
    if child is None or owner is None:
        return False
    return child["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]


@pytest.mark.usefixtures("operator")
def test_an_empty_spec_gets_every_child(bench: Bench, api: Api) -> None:
    api.apply(classifier())
    live = settled(bench, api)
    assert all(controlled_by(api, kind) for kind in CHILDREN)
    assert live["status"]["readySummary"] == "0/1"
    assert live["status"]["url"] == f"http://pets.{api.namespace}.svc"
    assert condition(live)["status"] == "False"
    assert condition(live, "MonitoringReady")["reason"] == "CRDNotInstalled"
    assert "finalizers" not in live["metadata"]
    assert not [key for key in live["metadata"].get("annotations", {}) if "kopf" in key]


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize(
    "spec", [{}, {"autoscaling": {"targetMemoryUtilization": 80, "targetCPUUtilization": 60}}]
)
def test_an_event_without_a_change_writes_nothing(bench: Bench, api: Api, spec: dict[str, Any]) -> None:
    api.apply(classifier(**spec))
    settled(bench, api)
    eventually(lambda: no_writes(bench, seconds=3), seconds=40, what="the operator at rest")
    before = bench.audit_lines()
    for kind in CHILDREN:
        api.run("annotate", kind, "pets", "somebody=else")
    api.run("annotate", "ic", "pets", "somebody=else")
    eventually(lambda: no_writes(bench, seconds=3), what="the operator at rest")
    assert bench.operator_writes(since=before) == []


def no_writes(bench: Bench, *, seconds: float) -> bool:
    """Whether the operator leaves the API server alone for so long."""
    before = bench.audit_lines()
    sleep(seconds)
    return bench.operator_writes(since=before) == []


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("kind", CHILDREN)
def test_a_deleted_child_comes_back(bench: Bench, api: Api, kind: str) -> None:
    api.apply(classifier())
    settled(bench, api)
    before = api.get(kind, "pets")
    assert before is not None
    api.run("delete", kind, "pets", "--wait=false")

    def back() -> bool:
        now = api.get(kind, "pets")
        return now is not None and now["metadata"]["uid"] != before["metadata"]["uid"]

    eventually(back, seconds=10, what=f"another {kind}")


@pytest.mark.usefixtures("operator")
def test_a_hand_edited_field_comes_back_and_a_foreign_one_stays(bench: Bench, api: Api) -> None:
    api.apply(classifier())
    settled(bench, api)
    api.patch("deployment", "pets", {"spec": {"replicas": 7, "minReadySeconds": 3}})
    eventually(lambda: spec_of(api)["replicas"] == 1, seconds=10, what="one replica again")
    assert spec_of(api)["minReadySeconds"] == 3


def spec_of(api: Api) -> dict[str, Any]:
    live = api.get("deployment", "pets")
    assert live is not None
    spec: dict[str, Any] = live["spec"]
    return spec


@pytest.mark.usefixtures("operator")
def test_kubectl_scale_scales(bench: Bench, api: Api) -> None:
    api.apply(classifier())
    settled(bench, api)
    api.run("scale", "ic/pets", "--replicas=3")
    eventually(lambda: spec_of(api)["replicas"] == 3, what="three replicas")


@pytest.mark.usefixtures("operator")
def test_a_removed_part_of_the_spec_is_removed_from_the_child(bench: Bench, api: Api) -> None:
    api.apply(classifier(service={"type": "NodePort", "port": 8080}))
    eventually(lambda: port_of(api).get("nodePort"), what="a node port")
    api.run("replace", "-f", "-", stdin=json.dumps(classifier()))
    eventually(lambda: "nodePort" not in port_of(api) and port_of(api)["port"] == 80, what="no node port")


def port_of(api: Api) -> dict[str, Any]:
    service = api.get("service", "pets")
    assert service is not None
    port: dict[str, Any] = service["spec"]["ports"][0]
    return port


def test_switching_autoscaling_on_and_off_never_drops_the_count(bench: Bench, api: Api) -> None:
    with bench.operator():
        api.apply(classifier(replicas=4))
        settled(bench, api)
        before = bench.audit_lines()
        api.patch("ic", "pets", {"spec": {"autoscaling": {"minReplicas": 2, "maxReplicas": 6}}})
        eventually(lambda: api.get("hpa", "pets"), what="an autoscaler")
        eventually(lambda: "f:replicas" not in fields_of(api, "imageclassifier-operator"), what="the hand-over")
        assert spec_of(api)["replicas"] == 4
        # as the autoscaler's own controller does
        api.run("scale", "deployment/pets", "--replicas=5")
        api.run("annotate", "ic", "pets", "look=again")
        eventually(lambda: no_writes(bench, seconds=2), what="the operator at rest")
        assert spec_of(api)["replicas"] == 5
        api.patch("ic", "pets", {"spec": {"autoscaling": None}})
        eventually(lambda: api.get("hpa", "pets") is None, what="no autoscaler")
        eventually(lambda: spec_of(api)["replicas"] == 4, what="the count of the spec")
    assert ("patch", "deployments/") in bench.operator_writes(since=before)


def fields_of(api: Api, manager: str) -> str:
    live = json.loads(api.run("get", "deployment", "pets", "-o", "json", "--show-managed-fields"))
    return json.dumps([entry for entry in live["metadata"]["managedFields"] if entry["manager"] == manager])


@pytest.mark.usefixtures("operator")
def test_a_deployment_under_autoscaling_starts_at_its_minimum(bench: Bench, api: Api) -> None:
    api.apply(classifier(autoscaling={"minReplicas": 3}))
    settled(bench, api)
    assert spec_of(api)["replicas"] == 3
    eventually(lambda: "f:replicas" in fields_of(api, "imageclassifier-operator-replicas"), what="the hand-over")


@pytest.mark.usefixtures("operator")
def test_a_child_of_somebody_else_is_left_alone_and_told(bench: Bench, api: Api) -> None:
    api.run("create", "service", "clusterip", "pets", "--tcp=9:9")
    api.apply(classifier())
    eventually(lambda: condition(api.get("ic", "pets"))["reason"] == "NameConflict", what="NameConflict")
    assert condition(api.get("ic", "pets"), "Stalled")["status"] == "True"
    assert port_of(api)["port"] == 9
    api.run("delete", "service", "pets")
    eventually(lambda: controlled_by(api, "service"), seconds=45, what="our own Service")


@pytest.mark.usefixtures("operator")
def test_an_invalid_spec_stalls_and_leaves_the_children_as_they_are(bench: Bench, api: Api) -> None:
    api.apply(classifier(replicas=2))
    settled(bench, api)
    api.patch("ic", "pets", {"spec": {"autoscaling": {"minReplicas": 5, "maxReplicas": 2}, "replicas": 1}})
    eventually(lambda: condition(api.get("ic", "pets"))["reason"] == "InvalidSpec", what="InvalidSpec")
    live = api.get("ic", "pets")
    assert condition(live, "Stalled")["status"] == "True"
    assert "spec.autoscaling.minReplicas" in condition(live)["message"]
    assert spec_of(api)["replicas"] == 2
    api.patch("ic", "pets", {"spec": {"autoscaling": None}})
    eventually(lambda: spec_of(api)["replicas"] == 1, what="the valid spec at work")


def test_children_go_with_their_owner_while_the_operator_is_down(bench: Bench, api: Api) -> None:
    with bench.operator():
        api.apply(classifier())
        settled(bench, api)
    api.run("delete", "ic", "pets", "--timeout=5s")
    for kind in (*CHILDREN, "replicaset"):
        eventually(partial(nothing_of, api, kind), seconds=30, what=f"no {kind}")


def nothing_of(api: Api, kind: str) -> bool:
    return not [item for item in api.list(kind) if item["metadata"]["name"].startswith("pets")]


def test_a_restarted_operator_writes_nothing_and_picks_up_what_it_missed(bench: Bench, api: Api) -> None:
    with bench.operator():
        api.apply(classifier())
        settled(bench, api)
        eventually(lambda: no_writes(bench, seconds=2), what="the operator at rest")
    before = bench.audit_lines()
    with bench.operator():
        eventually(lambda: reads(bench, before) > 5, what="the operator at work")
        assert no_writes(bench, seconds=3)
        assert bench.operator_writes(since=before) == []
    api.run("delete", "service", "pets")
    api.patch("ic", "pets", {"spec": {"replicas": 2}})
    with bench.operator():
        eventually(lambda: api.get("service", "pets"), what="the Service")
        eventually(lambda: spec_of(api)["replicas"] == 2, what="the new count")


def reads(bench: Bench, since: int) -> int:
    lines = bench.plane.audit_log.read_text().splitlines()[since:]
    return sum(OPERATOR_USER in line for line in lines)


def pods_of(api: Api) -> list[dict[str, Any]]:
    return [pod for pod in api.list("pods") if pod["metadata"]["name"].startswith("pets-")]


@pytest.mark.usefixtures("operator")
def test_what_a_kubelet_reports_becomes_conditions(bench: Bench, api: Api) -> None:
    api.apply(classifier())
    name: str = eventually(lambda: pods_of(api)[0]["metadata"]["name"], what="a pod")
    said = json.dumps({"reason": "ModelDigestMismatch", "message": f"want {SHA} got {'6' * 64}"})
    api.patch_status("pods", name, failed_init(said), api="/api/v1")
    eventually(lambda: condition(api.get("ic", "pets"))["reason"] == "ModelDigestMismatch", what="the cause")
    live = api.get("ic", "pets")
    assert "6" * 64 in condition(live)["message"]
    assert condition(live, "Stalled")["status"] == "True"
    table = api.run("get", "ic")
    assert "ModelDigestMismatch" in table
    facts = json.dumps({"name": "pets", "sha256": SHA, "precision": "FP32", "classes": 10})
    api.patch_status("pods", name, running(facts), api="/api/v1")
    eventually(lambda: condition(api.get("ic", "pets"))["status"] == "True", what="Ready")
    live = api.get("ic", "pets")
    assert live is not None
    assert live["status"]["model"]["classes"] == 10
    assert live["status"]["readySummary"] == "1/1"


def failed_init(message: str) -> dict[str, Any]:
    ended = {"exitCode": 1, "reason": "Error", "message": message}
    return {
        "phase": "Pending",
        "initContainerStatuses": [container("model", {"waiting": {"reason": "CrashLoopBackOff"}}, last=ended)],
    }


def running(facts: str) -> dict[str, Any]:
    now = "2026-01-01T00:00:00Z"
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("Ready", "ContainersReady")
    ]
    init = container("model", {"terminated": {"exitCode": 0, "message": facts}}, ready=True)
    server = container("server", {"running": {"startedAt": now}}, ready=True)
    return {
        "phase": "Running",
        "conditions": conditions,
        "initContainerStatuses": [init],
        "containerStatuses": [server],
    }


def container(
    name: str, state: dict[str, Any], *, ready: bool = False, last: dict[str, Any] | None = None
) -> dict[str, Any]:
    status = {"name": name, "ready": ready, "restartCount": 0, "image": "i", "imageID": "i", "state": state}
    return status if last is None else {**status, "lastState": {"terminated": last}}


@pytest.mark.usefixtures("operator")
def test_two_objects_of_one_name_in_two_namespaces_know_nothing_of_each_other(bench: Bench, api: Api) -> None:
    other = bench.fresh_namespace()
    api.apply(classifier(replicas=1))
    other.apply(classifier(replicas=2))
    settled(bench, api)
    settled(bench, other)
    other.run("delete", "ic", "pets")
    eventually(lambda: other.get("deployment", "pets") is None, seconds=30, what="no Deployment there")
    assert spec_of(api)["replicas"] == 1


@pytest.mark.usefixtures("operator")
def test_an_object_made_anew_under_its_name_gets_children_of_its_own(bench: Bench, api: Api) -> None:
    api.apply(classifier())
    settled(bench, api)
    api.run("delete", "ic", "pets")
    api.apply(classifier())
    for kind in CHILDREN:
        eventually(partial(controlled_by, api, kind), seconds=60, what=f"a {kind} of the new owner")
