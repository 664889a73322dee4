"""What others do to an object, its pods or its node is healed, or named with its remedy."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from e2e.classifiers import (
    children,
    condition,
    manifest,
    pods,
    restarts,
    wait_for,
    wait_for_endpoint,
    wait_for_reason,
    wait_for_response,
    wait_until_ready,
)
from e2e.cluster.paths import state_dir
from e2e.cluster.processes import Processes, with_command_line
from e2e.install import NAMESPACE
from e2e.pod_programs import fill_volume, source
from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.api import Object
    from e2e.kube import Kube

_LOST_SECONDS = 120.0
"""Kubernetes waits for a node for 50 seconds (`--node-monitor-grace-period`) before it counts as lost."""

_SPEC: dict[str, Any] = {"rollout": {"drainSeconds": 0}, "resources": {"requests": {"cpu": "10m"}}}


@pytest.fixture
def pets(kube: Kube, namespace: str) -> Object:
    """A Ready object with one pod."""
    kube.apply(manifest("pets", namespace=namespace, spec=_SPEC))
    return wait_until_ready(kube, "pets", namespace=namespace)


def test_an_evicted_pod_that_was_replaced_does_not_keep_an_object_from_being_ready(
    kube: Kube, namespace: str
) -> None:
    kube.apply(manifest("pets", namespace=namespace, spec={**_SPEC, "replicas": 2}))
    wait_until_ready(kube, "pets", namespace=namespace)
    evicted = pods(kube, "pets", namespace=namespace)[0]["metadata"]["name"]
    command = ("exec", evicted, "--container=server", f"--namespace={namespace}", "--")
    # more MiB than the size limit of the server's volume `tmp`, which is 64
    kube.kubectl(*command, "/app/bin/python", "-c", source(fill_volume), "/tmp/fill", "80")

    def has_ended() -> bool:  # Succeeded, if the server ends before the kubelet kills it
        found = kube.get("pods", evicted, namespace=namespace) or {}
        return found["status"]["phase"] in {"Failed", "Succeeded"}

    until(has_ended, seconds=180, what="the kubelet to evict the pod", every=1)
    live = wait_until_ready(kube, "pets", namespace=namespace)
    assert condition(live, "Ready")["reason"] == "AllReplicasReady"
    assert has_ended(), "the pod that was evicted is still there"


def test_an_orphan_is_adopted_and_keeps_its_pods(
    kube: Kube, namespace: str, pets: Object, photograph: bytes
) -> None:
    before = {pod["metadata"]["uid"] for pod in pods(kube, "pets", namespace=namespace)}
    kube.kubectl("delete", "ic", "pets", "--cascade=orphan", f"--namespace={namespace}")
    kube.apply(manifest("pets", namespace=namespace, spec=_SPEC))
    live = wait_until_ready(kube, "pets", namespace=namespace)
    assert live["metadata"]["uid"] != pets["metadata"]["uid"]
    assert {pod["metadata"]["uid"] for pod in pods(kube, "pets", namespace=namespace)} == before
    wait_for_response(wait_for_endpoint(kube, "pets", namespace=namespace), photograph)


@pytest.mark.usefixtures("pets")
def test_a_rollout_that_somebody_has_paused_is_named(kube: Kube, namespace: str) -> None:
    kube.kubectl("rollout", "pause", "deployment/pets", f"--namespace={namespace}")
    kube.patch("imageclassifiers", "pets", {"spec": {"rollout": {"drainSeconds": 1}}}, namespace=namespace)
    remedy = "kubectl rollout resume deployment/pets"
    wait_for_reason(kube, "pets", "DeploymentPaused", namespace=namespace, containing=remedy)
    kube.kubectl("rollout", "resume", "deployment/pets", f"--namespace={namespace}")
    wait_until_ready(kube, "pets", namespace=namespace)


@pytest.mark.usefixtures("pets")
def test_a_deletion_that_a_finalizer_holds_is_named(kube: Kube, namespace: str) -> None:
    held = {"metadata": {"finalizers": ["example.org/hold"]}}
    kube.patch("imageclassifiers", "pets", held, namespace=namespace)
    kube.kubectl("delete", "ic", "pets", "--wait=false", f"--namespace={namespace}")
    wait_for_reason(kube, "pets", "Terminating", namespace=namespace, containing="example.org/hold")
    kube.patch("imageclassifiers", "pets", {"metadata": {"finalizers": None}}, namespace=namespace)


def test_a_cordoned_node_is_named(kube: Kube, namespace: str) -> None:
    node = kube.list("nodes")[0]["metadata"]["name"]
    kube.kubectl("cordon", node)
    try:
        kube.apply(manifest("pets", namespace=namespace, spec=_SPEC))
        wait_for_reason(kube, "pets", "Unschedulable", namespace=namespace, containing="kubectl uncordon")
    finally:
        kube.kubectl("uncordon", node)
    wait_until_ready(kube, "pets", namespace=namespace)


@pytest.fixture
def kubelet(kube: Kube) -> int:
    """The process id of the local cluster's kubelet."""
    if not kube.target.local:
        pytest.skip("the nodes of another cluster are left alone")
    record = Processes(state_dir()).record("kubelet")
    assert record is not None
    return record.pid


def test_a_lost_node_is_named(kube: Kube, namespace: str, kubelet: int, pets: Object) -> None:
    os.kill(kubelet, signal.SIGSTOP)
    try:
        lost = wait_for_reason(kube, "pets", "NodeNotReady", namespace=namespace, seconds=_LOST_SECONDS)
        print(kube.kubectl("get", "ic,nodes", "--output=wide", f"--namespace={namespace}"))
    finally:
        os.kill(kubelet, signal.SIGCONT)
    assert "repair or remove it" in condition(lost, "Ready")["message"]
    wait_until_ready(kube, "pets", namespace=namespace)
    for others in ("kube-system", NAMESPACE):  # their pods were lost as well
        available = ("--for=condition=Available", "deployments", "--all", f"--namespace={others}")
        kube.kubectl("wait", *available, "--timeout=90s")


def test_a_server_that_hangs_is_named_and_restarted(kube: Kube, namespace: str, pets: Object) -> None:
    if not kube.target.local:
        pytest.skip("the processes of another cluster are not those of this machine")
    (pod,) = pods(kube, "pets", namespace=namespace)
    os.kill(_server(pod), signal.SIGSTOP)
    # A failed probe counts from 30 seconds after the start. Then the kubelet kills the container.
    wait_for_reason(kube, "pets", "Unhealthy", namespace=namespace, containing="probe failed")
    print(kube.kubectl("get", "ic", "--output=wide", f"--namespace={namespace}"))
    wait_until_ready(kube, "pets", namespace=namespace)
    assert restarts(kube, "pets", namespace=namespace) == 1


def _server(pod: Object) -> int:
    """The process id of a pod's server on the local cluster's node, which is this machine."""
    commands = with_command_line("imageclassifier")
    (found,) = (
        pid
        for pid, command in commands.items()
        if " serve" in command and pod["metadata"]["uid"] in Path(f"/proc/{pid}/cgroup").read_text()
    )
    return found


@pytest.fixture
def claim(kube: Kube, namespace: str) -> Iterator[str]:
    """A claim whose volume is a folder that the node does not have."""
    common = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    volume = {
        "capacity": {"storage": "64Mi"},
        "claimRef": {"namespace": namespace, "name": "models"},
        "hostPath": {"path": "/nonexistent", "type": "Directory"},
    }
    wanted = {"volumeName": namespace, "resources": {"requests": {"storage": "64Mi"}}}
    metadata = {"name": "models", "namespace": namespace}
    kube.apply(
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": namespace}, "spec": common | volume},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": common | wanted},
    )
    yield "models"
    kube.kubectl("delete", "persistentvolume", namespace, "--wait=false")


def test_a_volume_that_cannot_be_mounted_is_named(kube: Kube, namespace: str, claim: str) -> None:
    model = {"uri": f"pvc://{claim}/pets/", "sha256": "0" * 64}
    kube.apply(manifest("pets", namespace=namespace, spec={**_SPEC, "model": model}))
    wait_for_reason(kube, "pets", "FailedMount", namespace=namespace, containing="/nonexistent")


def test_a_hand_edit_that_cannot_be_merged_is_undone(
    kube: Kube, namespace: str, pets: Object, photograph: bytes
) -> None:
    before = children(kube, pets["metadata"]["uid"], namespace=namespace)
    probe = "/spec/template/spec/containers/0/livenessProbe"
    edits = {
        "deployment": [
            {"op": "remove", "path": f"{probe}/httpGet"},
            {"op": "add", "path": f"{probe}/exec", "value": {"command": ["false"]}},
            {"op": "replace", "path": "/spec/template/spec/containers/0/name", "value": "renamed"},
        ],
        "service": [{"op": "replace", "path": "/spec/ports/0/port", "value": 8081}],
    }
    for kind, changes in edits.items():
        kube.kubectl("patch", kind, "pets", f"--namespace={namespace}", "--type=json", "-p", json.dumps(changes))

    def as_before() -> bool:
        found = children(kube, pets["metadata"]["uid"], namespace=namespace)
        return all(found[kind]["spec"] == before[kind]["spec"] for kind in ("deployments", "services"))

    until(as_before, seconds=30, what="the Deployment and the Service to be as before")
    wait_until_ready(kube, "pets", namespace=namespace)
    wait_for_response(wait_for_endpoint(kube, "pets", namespace=namespace), photograph)


def test_the_replicas_are_left_to_an_autoscaler_of_the_user(kube: Kube, namespace: str, pets: Object) -> None:
    kube.kubectl(
        "autoscale", "deployment/pets", "--name=own", "--min=2", "--max=3", "--cpu=80%", f"--namespace={namespace}"
    )

    def scaled(live: Object) -> bool:
        scaling = condition(live, "AutoscalingReady")
        return "HorizontalPodAutoscaler own" in scaling["message"] and live["status"]["readySummary"] == "2/2"

    wait_for(kube, "pets", namespace=namespace, what="two pods by the autoscaler", probe=scaled, seconds=120)
    live = wait_for_reason(kube, "pets", "AllReplicasReady", namespace=namespace)
    assert condition(live, "Contested")["status"] == "False"
    assert pets["spec"]["replicas"] == 1
