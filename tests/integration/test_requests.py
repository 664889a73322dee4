"""How many requests objects cost that are at rest, or that cannot become Ready."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from imageclassifier_operator.controller.controller import CHECK_SECONDS, DISCOVERY_RETRY_SECONDS

from tests.integration.operator_harness import (
    Api,
    OperatorCluster,
    classifier,
    condition,
    eventually,
    make_ready,
    no_writes,
    pods_of,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

_ABSENT_APIS = ("servicemonitors", "httproutes")
"""These are looked for at intervals, since a kind that is not installed cannot be watched."""

_AUTOSCALED, _MEASUREMENTS = "autoscaled", 6

_WATCHES_ARE_CURRENT_SECONDS = 16
"""A watch of a kind that has no objects counts as current after this time."""


pytestmark = pytest.mark.newest


@pytest.fixture(scope="module", autouse=True)
def operator(cluster: OperatorCluster) -> Iterator[subprocess.Popen[str]]:
    with cluster.operator() as process:
        yield process


def test_a_poll_of_an_object_that_cannot_become_ready_reads_only_what_is_not_watched(
    cluster: OperatorCluster, api: Api
) -> None:
    api.apply(classifier())
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    pod = eventually(lambda: pods_of(api)[0]["metadata"]["name"], what="a pod")
    api.patch_status("pods", pod, {"conditions": [unscheduled]})
    eventually(lambda: condition(api.get("ic", "pets"))["reason"] == "Unschedulable", what="Unschedulable")
    time.sleep(_WATCHES_ARE_CURRENT_SECONDS)
    eventually(lambda: polled(cluster, api), seconds=60, what="a poll that reads only ReplicaSets and pods")


@pytest.mark.timeout(300)
def test_objects_at_rest_cost_no_request_but_watches(cluster: OperatorCluster, api: Api) -> None:
    names = ("cats", "dogs", "pets")
    for name in names:
        api.apply(classifier(name))
        make_ready(api, name)
    api.apply(classifier(_AUTOSCALED, autoscaling={"minReplicas": 1, "maxReplicas": 3}))
    eventually(lambda: api.get("hpa", _AUTOSCALED), what="the autoscaler")
    make_ready(api, _AUTOSCALED)
    eventually(
        lambda: condition(api.get("ic", _AUTOSCALED), "AutoscalingReady")["reason"] == "FailedGetResourceMetric",
        seconds=40,
        what="the autoscaler to look for metrics, which this API server does not serve",
    )
    eventually(lambda: no_writes(cluster, seconds=3), seconds=40, what="the operator to stop writing")
    time.sleep(sum(DISCOVERY_RETRY_SECONDS))  # discovery is repeated for that long after the start
    before = cluster.audit_position()
    for percent in range(60, 60 + _MEASUREMENTS):
        measure(api, percent)
        # together long enough for the check that kopf's watch still reports changes
        time.sleep((CHECK_SECONDS + 5) / _MEASUREMENTS)
    requests = [
        f"{event['verb']} {event['requestURI']}"
        for event in cluster.operator_requests(since=before)
        if event["verb"] != "watch" and (event.get("objectRef") or {}).get("namespace", "") in {"", api.namespace}
    ]
    assert [request for request in requests if not any(api in request for api in _ABSENT_APIS)] == []


def measure(api: Api, percent: int) -> None:
    """Report a CPU utilization, as the controller of the autoscaler does if it gets metrics."""
    current = {"name": "cpu", "current": {"averageUtilization": percent}}
    api.patch_status("hpa", _AUTOSCALED, {"currentMetrics": [{"type": "Resource", "resource": current}]})


def polled(cluster: OperatorCluster, api: Api) -> bool:
    """Wait for the requests of a poll, and return whether they were the expected ones."""
    before = cluster.audit_position()
    time.sleep(2)
    requests = [
        f"{event['verb']} {event['objectRef']['resource']}"
        for event in cluster.operator_requests(since=before)
        if event["objectRef"].get("namespace") == api.namespace
    ]
    return requests == ["list replicasets", "list pods"]
