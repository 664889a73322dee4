"""What a spec says about its pods reaches them, and a budget keeps a drain from stopping all of them."""

from __future__ import annotations

import subprocess
import time
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from imageclassifier_operator.status.pods import root_cause

from e2e.classifiers import (
    children,
    manifest,
    pods,
    wait_for_endpoint,
    wait_for_reason,
    wait_for_response,
    wait_until_ready,
)
from e2e.cluster.api import ApiError, url_path
from e2e.load import steady_load
from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from imageclassifier_operator.status.pods import Cause

    from e2e.kube import Kube

_PARTS: dict[str, Any] = {
    "runtime": {
        "podLabels": {"team": "vision"},
        "podAnnotations": {"example.org/cost-center": "4711"},
        "env": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.org:3128"}],
        "serviceAccountAnnotations": {"example.org/role": "reader"},
    },
    "scheduling": {
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "Exists"}]}
                    ]
                }
            }
        },
        "priorityClassName": "system-node-critical",
        "spread": "Off",
    },
    "service": {"annotations": {"example.org/load-balancer": "internal"}, "trafficDistribution": "PreferClose"},
}


def test_fields_of_pods_and_service_are_applied_and_removed(kube: Kube, namespace: str) -> None:
    spec = {**_PARTS, "replicas": 2, "rollout": {"drainSeconds": 1}}
    kube.apply(manifest("pets", namespace=namespace, spec=spec))
    live = wait_until_ready(kube, "pets", namespace=namespace)
    found = children(kube, live["metadata"]["uid"], namespace=namespace)
    service = found["services"]
    assert service["metadata"]["annotations"]["example.org/load-balancer"] == "internal"
    assert service["spec"]["trafficDistribution"] in {"PreferSameZone", "PreferClose"}  # the name before 1.34
    assert found["serviceaccounts"]["metadata"]["annotations"] == {"example.org/role": "reader"}
    assert found["poddisruptionbudgets"]["spec"]["maxUnavailable"] == 1
    for pod in pods(kube, "pets", namespace=namespace):
        assert pod["metadata"]["labels"]["team"] == "vision"
        assert pod["metadata"]["annotations"]["example.org/cost-center"] == "4711"
        assert pod["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
        assert pod["spec"]["priorityClassName"] == "system-node-critical"
        assert {"operator": "Exists", "effect": "NoSchedule"} in pod["spec"]["tolerations"]
        for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
            assert {"name": "HTTPS_PROXY", "value": "http://proxy.example.org:3128"} in container["env"]

    gone = {"runtime": None, "scheduling": None, "service": None, "replicas": 1}
    kube.patch("imageclassifiers", "pets", {"spec": gone}, namespace=namespace)
    live = wait_until_ready(kube, "pets", namespace=namespace)
    until(
        lambda: "poddisruptionbudgets" not in children(kube, live["metadata"]["uid"], namespace=namespace),
        seconds=30,
        what="the PodDisruptionBudget to be deleted",
    )
    found = children(kube, live["metadata"]["uid"], namespace=namespace)
    for plural in ("services", "serviceaccounts"):
        assert "example.org" not in str(found[plural]["metadata"].get("annotations"))
    assert "trafficDistribution" not in found["services"]["spec"]
    template = found["deployments"]["spec"]["template"]
    assert "team" not in template["metadata"]["labels"]
    assert "nodeSelector" not in template["spec"]
    assert "affinity" not in template["spec"]
    assert "tolerations" not in template["spec"]
    assert template["spec"].get("priorityClassName") is None
    assert len(template["spec"]["topologySpreadConstraints"]) == 2


def test_a_node_selector_that_no_node_matches_is_reported(kube: Kube, namespace: str) -> None:
    spec = {"scheduling": {"nodeSelector": {"example.org/pool": "no-such-pool"}}}
    kube.apply(manifest("pets", namespace=namespace, spec=spec))
    cause = "didn't match Pod's node affinity/selector"
    wait_for_reason(kube, "pets", "Unschedulable", namespace=namespace, containing=cause)


def test_the_eviction_of_a_pod_that_uses_more_disk_than_its_limit_has_a_remedy(kube: Kube, namespace: str) -> None:
    limits = {"ephemeral-storage": "1Mi"}  # the model is larger, and with this precision it is copied
    spec = {"model": {"precision": "Auto"}, "resources": {"limits": limits}, "rollout": {"drainSeconds": 0}}
    kube.apply(manifest("pets", namespace=namespace, spec=spec))

    def eviction() -> Cause | None:
        warnings = defaultdict(list)  # a pod that ends in order is Succeeded, and only its Events say why
        for event in kube.list("events", namespace=namespace):
            warnings[event["involvedObject"].get("uid")].append(event)
        causes = [root_cause([pod], warnings) for pod in pods(kube, "pets", namespace=namespace)]
        return next((cause for cause in causes if cause is not None and cause.reason == "Evicted"), None)

    # The condition is not checked: the replacement of an evicted pod serves within seconds, until it is evicted.
    cause = until(eviction, seconds=300, what="an eviction")
    assert "raise spec.resources.limits.ephemeral-storage" in cause.message
    assert cause.stalled

    limits["ephemeral-storage"] = "256Mi"
    kube.patch("imageclassifiers", "pets", {"spec": spec}, namespace=namespace)
    wait_until_ready(kube, "pets", namespace=namespace)


def test_evicting_each_pod_in_turn_fails_no_request(
    kube: Kube, namespace: str, photograph: bytes, add_to_summary: Callable[[str], None]
) -> None:
    kube.apply(manifest("pets", namespace=namespace, spec={"replicas": 2}))
    wait_until_ready(kube, "pets", namespace=namespace)
    endpoint = wait_for_endpoint(kube, "pets", namespace=namespace)
    wait_for_response(endpoint, photograph)
    names = [pod["metadata"]["name"] for pod in pods(kube, "pets", namespace=namespace)]
    with steady_load(endpoint, photograph, per_second=20) as report:
        until(lambda: report.sent >= 40, seconds=30, what="two seconds of requests")
        _evict(kube, namespace, names[0])
        with pytest.raises(ApiError) as raised:  # while its replacement is not ready, the budget is used up
            _evict(kube, namespace, names[1])
        assert raised.value.code == httpx.codes.TOO_MANY_REQUESTS
        until(partial(_evicted, kube, namespace, names[1]), seconds=90, what="the second eviction", every=0.2)
        until(lambda: _replaced(kube, namespace, names), seconds=180, what="two new pods")
    wait_until_ready(kube, "pets", namespace=namespace)
    add_to_summary(f"eviction of each pod under load: {report}")
    assert not report.failures, report.failures[:20]


def test_draining_the_node_of_all_pods_fails_no_request(
    kube: Kube, namespace: str, photograph: bytes, add_to_summary: Callable[[str], None]
) -> None:
    node = kube.list("nodes")[0]["metadata"]
    on_one_node = {"nodeSelector": {"kubernetes.io/hostname": node["labels"]["kubernetes.io/hostname"]}}
    spec = {"replicas": 2, "scheduling": on_one_node}
    kube.apply(manifest("drained", namespace=namespace, spec=spec))
    wait_until_ready(kube, "drained", namespace=namespace)
    endpoint = wait_for_endpoint(kube, "drained", namespace=namespace)
    wait_for_response(endpoint, photograph)
    before = {pod["metadata"]["name"] for pod in pods(kube, "drained", namespace=namespace)}
    only = "--pod-selector=app.kubernetes.io/instance=drained"  # not the operator, DNS and the other pods
    command = kube.command("drain", node["name"], only, "--delete-emptydir-data", "--timeout=180s")

    def remaining() -> int:
        return len(before & {pod["metadata"]["name"] for pod in pods(kube, "drained", namespace=namespace)})

    with steady_load(endpoint, photograph, per_second=20) as report:
        until(lambda: report.sent >= 20, seconds=30, what="a second of requests")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as drain:
            try:
                until(lambda: remaining() == 1, seconds=60, what="the first pod to be evicted")
                time.sleep(8)  # the drain retries every 5 s; without a budget, the second pod would be gone, too
                assert remaining() == 1
            finally:
                kube.kubectl("uncordon", node["name"])  # from here on, the evicted pod can be replaced
            output, _ = drain.communicate(timeout=240)
        assert drain.returncode == 0, output
        assert remaining() == 0
    wait_until_ready(kube, "drained", namespace=namespace)
    add_to_summary(f"kubectl drain of the node of both pods under load: {report}")
    assert not report.failures, report.failures[:20]


def _evict(kube: Kube, namespace: str, name: str) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
    kube.request("POST", f"{url_path('pods', namespace=namespace, name=name)}/eviction", body)


def _evicted(kube: Kube, namespace: str, name: str) -> bool:
    try:
        _evict(kube, namespace, name)
    except ApiError as error:
        if error.code != httpx.codes.TOO_MANY_REQUESTS:
            raise
        return False
    return True


def _replaced(kube: Kube, namespace: str, names: list[str]) -> bool:
    found = kube.list("pods", namespace=namespace, selector="app.kubernetes.io/instance=pets")
    return len(found) == 2 and not {pod["metadata"]["name"] for pod in found} & set(names)
