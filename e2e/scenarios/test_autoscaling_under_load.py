"""Load comes, and pods come with it; the load goes, and the pods go. No request is lost either way."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from e2e.classifiers import current, manifest, wait_door, wait_for, wait_ready
from e2e.cluster.api import ApiError
from e2e.load import steady
from e2e.readiness import watching
from e2e.waiting import until
from tools.steps import elapsed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from e2e.cluster.api import Object
    from e2e.kube import Kube

_MOST = 3
_PER_SECOND = 20.0
"""Enough for three pods, each with 50m of CPU, and so little that a busy machine answers all while pods start."""
_UP_SECONDS, _DOWN_SECONDS = 180, 240
_POD_METRICS = "/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"


@pytest.fixture
def metrics(kube: Kube) -> None:
    """The cluster measures its pods; the local one always does."""
    try:
        kube.request("GET", "/apis/metrics.k8s.io/v1beta1")
    except ApiError:
        if kube.target.local:
            raise
        pytest.skip("this cluster has no metrics-server")


@pytest.mark.usefixtures("metrics")
def test_pods_follow_the_load_up_and_down_and_every_request_is_answered(
    kube: Kube, namespace: str, photograph: bytes, figure: Callable[[str], None]
) -> None:
    spec: dict[str, Any] = {
        "autoscaling": {
            "minReplicas": 1,
            "maxReplicas": _MOST,
            "targetCPUUtilization": 50,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
        },
        "resources": {"requests": {"cpu": "100m"}},
    }
    kube.apply(manifest("pets", namespace=namespace, spec=spec))
    wait_ready(kube, "pets", namespace=namespace)
    _wait_measured(kube, namespace)
    way = wait_door(kube, "pets", namespace=namespace)

    with watching(kube, "pets", namespace=namespace, seconds=_UP_SECONDS + _DOWN_SECONDS) as seen:
        began = elapsed()
        with steady(way, photograph, per_second=_PER_SECOND) as report:
            until(lambda: seen.counts[-1][1] == _MOST, seconds=_UP_SECONDS, what=f"{_MOST} ready pods under load")
            up = elapsed() - began
            # The last pod is to take its share of requests before they end.
            time.sleep(5)
        ended = elapsed()
        until(lambda: seen.counts[-1][1] == 1, seconds=_DOWN_SECONDS, what="one pod after the load")
        down = elapsed() - ended
        timeline = _timeline(seen.counts, began)

    figure(f"autoscaling at {_PER_SECOND:.0f} requests/s: 1 to {_MOST} pods in {up:.0f} s, back in {down:.0f} s")
    figure(f"autoscaling, ready pods over time: {timeline}")
    figure(f"autoscaling: {report}")
    assert report.failures == []
    wait_for(kube, "pets", namespace=namespace, what="one replica in the status", probe=_scaled_to_one)


def _scaled_to_one(live: Object) -> bool:
    status = current(live, "AutoscalingReady").get("status")
    return status == "True" and live["status"]["readySummary"] == "1/1"


def _wait_measured(kube: Kube, namespace: str) -> None:
    """Wait until metrics-server knows the pod: it looks every 15 seconds, and needs two looks."""

    def measured() -> bool:
        found = kube.request("GET", _POD_METRICS.format(namespace=namespace))
        return bool(found["items"])

    until(measured, seconds=90, what="metrics of the pod", every=1.0)


def _timeline(counts: Sequence[tuple[float, int]], began: float) -> str:
    """The count at each change, with the seconds since the load began."""
    changes = [counts[0], *(now for before, now in pairwise(counts) if now[1] != before[1])]
    return ", ".join(f"{max(0.0, at - began):.0f} s: {count}" for at, count in changes)
