"""An operator killed during a rollout continues from the observed state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2e.classifiers import manifest, pods, wait_for, wait_for_replicas, wait_until_ready
from e2e.cluster.api import url_path
from e2e.install import NAMESPACE, wait_for_operator

if TYPE_CHECKING:
    from e2e.kube import Kube


def test_an_operator_killed_during_a_rollout_finishes_it(kube: Kube, namespace: str) -> None:
    spec = {"replicas": 2, "rollout": {"drainSeconds": 1}}
    kube.apply(manifest("pets", namespace=namespace, spec=spec))
    wait_until_ready(kube, "pets", namespace=namespace)
    change = {"spec": {"limits": {"maxQueueSize": 32}, "service": {"port": 8000}}}
    kube.patch("imageclassifiers", "pets", change, namespace=namespace)
    wait_for(
        kube,
        "pets",
        namespace=namespace,
        what="a rollout in progress",
        probe=lambda live: live["status"].get("observedGeneration") == live["metadata"]["generation"],
    )
    # Not with kubectl, whose warning would fail the scenario.
    kube.request("DELETE", url_path("pods", namespace=NAMESPACE), {"gracePeriodSeconds": 0})
    # One more change while no operator runs.
    kube.patch("imageclassifiers", "pets", {"spec": {"replicas": 1}}, namespace=namespace)
    wait_for_operator(kube)
    live = wait_for_replicas(kube, "pets", 1, namespace=namespace)
    assert live["status"]["url"] == f"http://pets.{namespace}.svc:8000"
    (pod,) = pods(kube, "pets", namespace=namespace)
    settings = {variable["name"]: variable["value"] for variable in pod["spec"]["containers"][0]["env"]}
    assert settings["IMAGECLASSIFIER_MAX_QUEUE_SIZE"] == "32"
