"""Changes of the spec and of the children: clients notice nothing, and what was changed by hand comes back."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from e2e.classifiers import classify, condition, manifest, pods, wait_answer, wait_door, wait_ready, wait_reason
from e2e.cluster.kubectl import KubectlError
from e2e.load import steady
from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.cluster.api import Object
    from e2e.kube import Kube

RESTORED_SECONDS = 10.0


def test_kubectl_scale_sets_the_number_of_pods(kube: Kube, namespace: str) -> None:
    kube.apply(manifest("pets", namespace=namespace, spec={"rollout": {"drainSeconds": 1}}))
    wait_ready(kube, "pets", namespace=namespace)
    for wanted in (2, 1):
        kube.kubectl("scale", "ic/pets", f"--replicas={wanted}", f"--namespace={namespace}")
        live = wait_ready(kube, "pets", namespace=namespace)
        assert live["spec"]["replicas"] == wanted
        # One pod too many is Ready too, for the moment that it takes to end it.
        summary = f"{wanted}/{wanted}"
        until(partial(_summary_is, kube, namespace, summary), seconds=30, what=f"{summary} in the status")
        assert len(pods(kube, "pets", namespace=namespace)) == wanted


def _summary_is(kube: Kube, namespace: str, wanted: str) -> bool:
    live = kube.get("imageclassifiers", "pets", namespace=namespace) or {}
    return bool(live["status"]["readySummary"] == wanted)


def test_new_resources_roll_with_no_failed_request(
    kube: Kube, namespace: str, photograph: bytes, figure: Callable[[str], None]
) -> None:
    kube.apply(manifest("pets", namespace=namespace, spec={"replicas": 2}))
    wait_ready(kube, "pets", namespace=namespace)
    before = {pod["metadata"]["uid"] for pod in pods(kube, "pets", namespace=namespace)}
    way = wait_door(kube, "pets", namespace=namespace)
    wait_answer(way, photograph)
    with steady(way, photograph, per_second=20) as report:
        until(lambda: report.sent >= 40, seconds=30, what="two seconds of requests")
        change = {"spec": {"resources": {"limits": {"memory": "640Mi"}}}}
        kube.patch("imageclassifiers", "pets", change, namespace=namespace)
        wait_ready(kube, "pets", namespace=namespace)
        # The old pods go on for as long as they drain; the load outlives them. Their objects can stay much longer:
        # a kubelet that finds a container gone while it stops it tries again only with the next sync.
        until(lambda: _all_there(kube, namespace) == 2, seconds=180, what="the end of the old pods")
    figure(f"rollout under load: {report}")
    after = pods(kube, "pets", namespace=namespace)
    assert not before & {pod["metadata"]["uid"] for pod in after}
    assert {pod["spec"]["containers"][0]["resources"]["limits"]["memory"] for pod in after} == {"640Mi"}
    assert report.sent >= 200
    assert not report.failures, report.failures[:20]


def _all_there(kube: Kube, namespace: str) -> int:
    return len(kube.list("pods", namespace=namespace, selector="app.kubernetes.io/instance=pets"))


def test_what_was_deleted_or_edited_by_hand_is_restored(
    kube: Kube, namespace: str, photograph: bytes, figure: Callable[[str], None]
) -> None:
    kube.apply(manifest("pets", namespace=namespace))
    wait_ready(kube, "pets", namespace=namespace)
    inside = f"--namespace={namespace}"

    gone: Object = kube.get("services", "pets", namespace=namespace) or {}
    kube.kubectl("delete", "service", "pets", inside)
    began = time.monotonic()
    until(
        lambda: (
            (kube.get("services", "pets", namespace=namespace) or gone)["metadata"]["uid"]
            != gone["metadata"]["uid"]
        ),
        seconds=RESTORED_SECONDS,
        what="the Service to come back",
    )
    figure(f"Service restored in {time.monotonic() - began:.2f} s")

    edit = '{"spec":{"replicas":3,"template":{"spec":{"terminationGracePeriodSeconds":5}}}}'
    kube.kubectl("patch", "deployment", "pets", inside, "--type=merge", f"--patch={edit}")
    began = time.monotonic()

    def restored() -> bool:
        live = kube.get("deployments", "pets", namespace=namespace) or {}
        pod = live["spec"]["template"]["spec"]
        return bool(live["spec"]["replicas"] == 1 and pod["terminationGracePeriodSeconds"] == 30)

    until(restored, seconds=RESTORED_SECONDS, what="the Deployment to be as it was")
    figure(f"Deployment restored in {time.monotonic() - began:.2f} s")
    wait_ready(kube, "pets", namespace=namespace)
    assert wait_answer(wait_door(kube, "pets", namespace=namespace), photograph, seconds=10)


def test_an_invalid_spec_stalls_and_the_old_pods_go_on(kube: Kube, namespace: str, photograph: bytes) -> None:
    kube.apply(manifest("pets", namespace=namespace))
    wait_ready(kube, "pets", namespace=namespace)
    wait_answer(wait_door(kube, "pets", namespace=namespace), photograph)
    before = [pod["metadata"]["uid"] for pod in pods(kube, "pets", namespace=namespace)]
    # No schema sees this, with CEL or without: an image of 100 million pixels takes more than the memory limit.
    invalid = {"spec": {"limits": {"maxImagePixels": 100_000_000}, "replicas": 2}}
    kube.patch("imageclassifiers", "pets", invalid, namespace=namespace)
    live = wait_reason(kube, "pets", "InvalidSpec", namespace=namespace)
    assert condition(live, "Ready")["status"] == "False"
    assert condition(live, "Stalled")["status"] == "True"
    assert "memory" in condition(live, "Ready")["message"]
    assert condition(live, "Available")["status"] == "True"
    assert [pod["metadata"]["uid"] for pod in pods(kube, "pets", namespace=namespace)] == before
    with wait_door(kube, "pets", namespace=namespace).client() as client:
        assert classify(client, photograph).status_code == 200

    kube.patch("imageclassifiers", "pets", {"spec": {"limits": None}}, namespace=namespace)
    live = wait_ready(kube, "pets", namespace=namespace)
    assert condition(live, "Stalled")["status"] == "False"
    assert live["status"]["readySummary"] == "2/2"


def test_bounds_the_wrong_way_round_are_rejected(kube: Kube, namespace: str) -> None:
    spec = {"autoscaling": {"minReplicas": 3, "maxReplicas": 2}}
    with pytest.raises(KubectlError, match="minReplicas is more than maxReplicas"):
        kube.apply(manifest("pets", namespace=namespace, spec=spec))
