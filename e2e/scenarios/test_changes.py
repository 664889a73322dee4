"""No request fails when the spec changes, and manual changes of children are reverted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from e2e.classifiers import (
    classify,
    condition,
    manifest,
    pods,
    wait_for_endpoint,
    wait_for_reason,
    wait_for_replicas,
    wait_for_response,
    wait_until_ready,
)
from e2e.cluster.kubectl import KubectlError
from e2e.load import steady_load
from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.cluster.api import Object
    from e2e.kube import Kube

REVERT_SECONDS = 10.0


def test_kubectl_scale_sets_the_number_of_pods(kube: Kube, namespace: str) -> None:
    kube.apply(manifest("pets", namespace=namespace, spec={"rollout": {"drainSeconds": 1}}))
    wait_until_ready(kube, "pets", namespace=namespace)
    for desired in (2, 1):
        kube.kubectl("scale", "ic/pets", f"--replicas={desired}", f"--namespace={namespace}")
        live = wait_for_replicas(kube, "pets", desired, namespace=namespace)
        assert live["spec"]["replicas"] == desired
        assert len(pods(kube, "pets", namespace=namespace)) == desired


def test_no_request_fails_during_a_rollout(
    kube: Kube, namespace: str, photograph: bytes, add_to_summary: Callable[[str], None]
) -> None:
    kube.apply(manifest("pets", namespace=namespace, spec={"replicas": 2}))
    wait_until_ready(kube, "pets", namespace=namespace)
    before = {pod["metadata"]["uid"] for pod in pods(kube, "pets", namespace=namespace)}
    endpoint = wait_for_endpoint(kube, "pets", namespace=namespace)
    wait_for_response(endpoint, photograph)
    with steady_load(endpoint, photograph, per_second=20) as report:
        until(lambda: report.sent >= 40, seconds=30, what="two seconds of requests")
        change = {"spec": {"resources": {"limits": {"memory": "640Mi"}}}}
        kube.patch("imageclassifiers", "pets", change, namespace=namespace)
        wait_until_ready(kube, "pets", namespace=namespace)
        # Keep the load up until the old pods have drained. Their objects can stay much longer: if a container
        # exits while kubelet stops it, kubelet retries only at the next sync.
        until(lambda: _pod_count(kube, namespace) == 2, seconds=180, what="the old pods to be deleted")
    add_to_summary(f"rollout under load: {report}")
    after = pods(kube, "pets", namespace=namespace)
    assert not before & {pod["metadata"]["uid"] for pod in after}
    assert {pod["spec"]["containers"][0]["resources"]["limits"]["memory"] for pod in after} == {"640Mi"}
    assert report.sent >= 200
    assert not report.failures, report.failures[:20]


def _pod_count(kube: Kube, namespace: str) -> int:
    return len(kube.list("pods", namespace=namespace, selector="app.kubernetes.io/instance=pets"))


def test_manual_deletes_and_edits_are_reverted(
    kube: Kube, namespace: str, photograph: bytes, add_to_summary: Callable[[str], None]
) -> None:
    kube.apply(manifest("pets", namespace=namespace))
    wait_until_ready(kube, "pets", namespace=namespace)
    namespace_option = f"--namespace={namespace}"

    deleted: Object = kube.get("services", "pets", namespace=namespace) or {}
    kube.kubectl("delete", "service", "pets", namespace_option)
    began = time.monotonic()
    until(
        lambda: (
            (kube.get("services", "pets", namespace=namespace) or deleted)["metadata"]["uid"]
            != deleted["metadata"]["uid"]
        ),
        seconds=REVERT_SECONDS,
        what="the Service to be recreated",
    )
    add_to_summary(f"Service recreated in {time.monotonic() - began:.2f} s")

    edit = '{"spec":{"replicas":3,"template":{"spec":{"terminationGracePeriodSeconds":5}}}}'
    kube.kubectl("patch", "deployment", "pets", namespace_option, "--type=merge", f"--patch={edit}")
    began = time.monotonic()

    def reverted() -> bool:
        live = kube.get("deployments", "pets", namespace=namespace) or {}
        pod = live["spec"]["template"]["spec"]
        return bool(live["spec"]["replicas"] == 1 and pod["terminationGracePeriodSeconds"] == 30)

    until(reverted, seconds=REVERT_SECONDS, what="the Deployment to be reverted")
    add_to_summary(f"Deployment reverted in {time.monotonic() - began:.2f} s")
    wait_until_ready(kube, "pets", namespace=namespace)
    assert wait_for_response(wait_for_endpoint(kube, "pets", namespace=namespace), photograph, seconds=10)


def test_an_invalid_spec_stalls_and_the_old_pods_keep_serving(
    kube: Kube, namespace: str, photograph: bytes
) -> None:
    kube.apply(manifest("pets", namespace=namespace))
    wait_until_ready(kube, "pets", namespace=namespace)
    wait_for_response(wait_for_endpoint(kube, "pets", namespace=namespace), photograph)
    before = [pod["metadata"]["uid"] for pod in pods(kube, "pets", namespace=namespace)]
    # Neither schema nor CEL catches this: an image of 100 million pixels needs more than the memory limit.
    invalid = {"spec": {"limits": {"maxImagePixels": 100_000_000}, "replicas": 2}}
    kube.patch("imageclassifiers", "pets", invalid, namespace=namespace)
    live = wait_for_reason(kube, "pets", "InvalidSpec", namespace=namespace)
    assert condition(live, "Ready")["status"] == "False"
    assert condition(live, "Stalled")["status"] == "True"
    assert "memory" in condition(live, "Ready")["message"]
    assert condition(live, "Available")["status"] == "True"
    assert [pod["metadata"]["uid"] for pod in pods(kube, "pets", namespace=namespace)] == before
    with wait_for_endpoint(kube, "pets", namespace=namespace).client() as client:
        assert classify(client, photograph).status_code == 200

    kube.patch("imageclassifiers", "pets", {"spec": {"limits": None}}, namespace=namespace)
    live = wait_for_replicas(kube, "pets", 2, namespace=namespace)
    assert condition(live, "Stalled")["status"] == "False"


def test_swapped_autoscaling_bounds_are_rejected(kube: Kube, namespace: str) -> None:
    spec = {"autoscaling": {"minReplicas": 3, "maxReplicas": 2}}
    with pytest.raises(KubectlError, match="minReplicas is more than maxReplicas"):
        kube.apply(manifest("pets", namespace=namespace, spec=spec))
