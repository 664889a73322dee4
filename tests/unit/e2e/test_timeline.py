"""The timeline to the first response has a time for each step that the cluster reports."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from e2e.cluster.kubectl import KubectlError
from e2e.measure.timeline import FIRST_RESPONSE, Timeline, table
from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

LABELS = {"app.kubernetes.io/instance": "pets"}


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "pets-1", "labels": LABELS}, "spec": {"nodeName": "node"}, "status": status}


class ScriptedKube:
    """Yields the states of each resource, and has a log of the server, but none of an init container."""

    def __init__(self) -> None:
        self.ended: set[str] = set()
        self.states: dict[str, list[dict[str, Any]]] = {
            "imageclassifiers": [{"metadata": {"name": "other"}}, {"metadata": {"name": "pets"}}],
            "deployments": [{"metadata": {"name": "other", "labels": {"app.kubernetes.io/instance": "other"}}}],
            "pods": [
                pod(),
                pod(containerStatuses=[{"state": {"waiting": {}}}]),
                pod(
                    containerStatuses=[{"state": {"running": {}}}],
                    conditions=[{"type": "Ready", "status": "True"}],
                ),
            ],
            "endpointslices": [{"metadata": {"labels": LABELS}, "endpoints": [{"conditions": {"ready": True}}]}],
        }

    def watch(self, plural: str, *, namespace: str, timeout_seconds: int) -> Iterator[dict[str, Any]]:
        assert (namespace, timeout_seconds > 0) == ("vision", True)
        yield from self.states[plural]
        self.ended.add(plural)

    def list(self, plural: str, *, namespace: str, selector: str) -> list[dict[str, Any]]:
        assert (plural, namespace, selector) == ("pods", "vision", "app.kubernetes.io/instance=pets")
        return [pod()]

    def kubectl(self, *arguments: str) -> str:
        if "--container=model" in arguments:
            raise KubectlError("container model is not valid")
        return '2100-01-01T00:00:00.123456789Z {"message":"Ready","seconds":0.5}\n'


def test_every_step_that_is_seen_has_its_time() -> None:
    kube, began = ScriptedKube(), time.time()
    timeline = Timeline(kube, "pets", namespace="vision")  # type: ignore[arg-type]
    until(lambda: kube.ended == set(kube.states), seconds=10, what="all watches to end")
    found = timeline.finish()
    logged = found.pop("server ready (server's log)")
    assert abs(logged - (4102444800.123456 - began)) < 5
    assert set(found) == {
        "ImageClassifier stored (kubectl)",
        "Pod stored (controller manager)",
        "Pod scheduled (scheduler)",
        "server container reported as running (kubelet)",
        "Pod reported as Ready (kubelet)",
        "EndpointSlice ready (controller manager)",
        FIRST_RESPONSE,
    }
    assert all(0 <= seconds < 10 for seconds in found.values())


def test_the_table_has_the_median_of_each_step_in_the_order_of_time() -> None:
    timelines = [{"late": 3.0, "early": 1.0}, {"late": 5.0, "early": 2.0}, {"late": 4.0}]
    assert table(timelines).splitlines() == [
        "step   since apply  step alone",
        "early       1.50 s      1.50 s",
        "late        4.00 s      2.50 s",
    ]
