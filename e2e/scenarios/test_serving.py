"""An object serves a model, and users can inspect it with kubectl."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from e2e.classifiers import (
    children,
    classify,
    condition,
    manifest,
    pods,
    wait_for_endpoint,
    wait_for_response,
    wait_until_ready,
)
from e2e.pod_programs import get_status, source

if TYPE_CHECKING:
    from e2e.kube import Kube


@pytest.fixture
def pets(kube: Kube, namespace: str) -> str:
    """A Ready object with an empty spec."""
    kube.apply(manifest("pets", namespace=namespace))
    wait_until_ready(kube, "pets", namespace=namespace)
    return "pets"


def test_one_object_serves(kube: Kube, namespace: str, pets: str, photograph: bytes) -> None:
    live = wait_until_ready(kube, pets, namespace=namespace)
    status = live["status"]
    assert status["readySummary"] == "1/1"
    assert status["url"] == f"http://pets.{namespace}.svc"
    assert status["model"]["precision"] == "FP32"
    result = wait_for_response(wait_for_endpoint(kube, pets, namespace=namespace), photograph)
    assert len(result["predictions"]) == 5
    assert result["model"] == {key: status["model"][key] for key in ("name", "sha256")}
    owned = children(kube, live["metadata"]["uid"], namespace=namespace)
    assert set(owned) == {"serviceaccounts", "deployments", "services", "servicemonitors"}
    assert condition(live, "MonitoringReady")["status"] == "True"
    assert condition(live, "AutoscalingReady")["reason"] == "NotRequested"
    _check_kubectl_output(kube, namespace)
    _check_logs_and_exec(kube, namespace, status["url"])


def _check_kubectl_output(kube: Kube, namespace: str) -> None:
    namespace_option = f"--namespace={namespace}"
    table = kube.kubectl("get", "ic", namespace_option)
    heading, row = (line.split() for line in table.splitlines())
    assert heading == ["NAME", "READY", "REASON", "MODEL", "REPLICAS", "URL", "AGE"]
    assert row[:6] == [
        "pets",
        "True",
        "AllReplicasReady",
        "cifar10-mobilenet-v2",
        "1/1",
        f"http://pets.{namespace}.svc",
    ]
    wide = kube.kubectl("get", "icl", namespace_option, "-o", "wide").splitlines()
    assert wide[0].split()[-3:] == ["PRECISION", "REVISION", "IMAGE"]
    assert wide[1].split()[-3] == "FP32"
    described = kube.kubectl("describe", "ic", "pets", namespace_option)
    assert "AllReplicasReady" in described
    assert "Events:" in described
    assert "sha256" in kube.kubectl("explain", "ic.spec.model")


def _check_logs_and_exec(kube: Kube, namespace: str, url: str) -> None:
    namespace_option = f"--namespace={namespace}"
    (pod,) = pods(kube, "pets", namespace=namespace)
    name = pod["metadata"]["name"]
    log = kube.kubectl("logs", namespace_option, name, "--container=server")
    assert "/api/v1/classify" in log
    assert all(isinstance(json.loads(line), dict) for line in log.splitlines())
    exec_in_server = ("exec", namespace_option, name, "--container=server", "--")
    # A server with its own model asks no name server for an address: it sends nothing out of the cluster.
    assert _sent_datagrams(kube.kubectl(*exec_in_server, "cat", "/proc/net/snmp")) == 0
    command = ("/app/bin/python", "-c", source(get_status), f"{url}/api/v1/health")
    output = kube.kubectl(*exec_in_server, *command)
    assert output.strip() == "200"


def _sent_datagrams(snmp: str) -> int:
    """Return how many UDP datagrams the pod has sent, from the kernel's counters of its network."""
    names, values = (line.split() for line in snmp.splitlines() if line.startswith("Udp:"))
    return int(values[names.index("OutDatagrams")])


def test_objects_with_the_same_name_in_two_namespaces_are_independent(
    kube: Kube, namespace: str, other_namespace: str, photograph: bytes
) -> None:
    for each in (namespace, other_namespace):
        kube.apply(manifest("pets", namespace=each))
    endpoints = []
    for each in (namespace, other_namespace):
        wait_until_ready(kube, "pets", namespace=each)
        endpoints.append(wait_for_endpoint(kube, "pets", namespace=each))
        wait_for_response(endpoints[-1], photograph)
    assert endpoints[0].url != endpoints[1].url
    kube.delete("imageclassifiers", "pets", namespace=namespace)
    with endpoints[1].client() as client:
        assert classify(client, photograph).status_code == 200
    live = wait_until_ready(kube, "pets", namespace=other_namespace)
    assert live["status"]["readySummary"] == "1/1"
