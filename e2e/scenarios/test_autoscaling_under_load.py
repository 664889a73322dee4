"""Under load, the number of pods grows, and it shrinks after the load; no request fails."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from e2e.classifiers import current_condition, manifest, wait_for, wait_for_endpoint, wait_until_ready
from e2e.cluster.api import ApiError
from e2e.load import steady_load
from e2e.readiness import watch_ready_replicas
from e2e.waiting import until
from tools.steps import elapsed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from e2e.cluster.api import Object
    from e2e.kube import Kube

_MAX_REPLICAS = 3
_PER_SECOND = 20.0
"""High enough for three pods, each with 50m of CPU, and low enough that no request fails on a busy machine."""
_UP_SECONDS, _DOWN_SECONDS = 180, 240
_POD_METRICS = "/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"


@pytest.fixture
def metrics(kube: Kube) -> None:
    """Skips the test without pod metrics; the local cluster always has them."""
    try:
        kube.request("GET", "/apis/metrics.k8s.io/v1beta1")
    except ApiError:
        if kube.target.local:
            raise
        pytest.skip("this cluster has no metrics-server")


@pytest.mark.usefixtures("metrics")
def test_pods_scale_with_the_load_and_every_request_succeeds(
    kube: Kube, namespace: str, photograph: bytes, add_to_summary: Callable[[str], None]
) -> None:
    spec: dict[str, Any] = {
        "autoscaling": {
            "minReplicas": 1,
            "maxReplicas": _MAX_REPLICAS,
            "targetCPUUtilization": 50,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
        },
        "resources": {"requests": {"cpu": "100m"}},
    }
    kube.apply(manifest("pets", namespace=namespace, spec=spec))
    wait_until_ready(kube, "pets", namespace=namespace)
    _wait_for_metrics(kube, namespace)
    endpoint = wait_for_endpoint(kube, "pets", namespace=namespace)

    timeout_seconds = _UP_SECONDS + _DOWN_SECONDS
    with watch_ready_replicas(kube, "pets", namespace=namespace, timeout_seconds=timeout_seconds) as ready:
        began = elapsed()
        with steady_load(endpoint, photograph, per_second=_PER_SECOND) as report:
            until(
                lambda: ready.counts[-1][1] == _MAX_REPLICAS,
                seconds=_UP_SECONDS,
                what=f"{_MAX_REPLICAS} ready pods under load",
            )
            up = elapsed() - began
            # Let the last pod serve requests, too.
            time.sleep(5)
        ended = elapsed()
        until(lambda: ready.counts[-1][1] == 1, seconds=_DOWN_SECONDS, what="scale-down to one pod after the load")
        down = elapsed() - ended
        timeline = _timeline(ready.counts, began)

    add_to_summary(
        f"autoscaling at {_PER_SECOND:.0f} requests/s: {_MAX_REPLICAS} pods in {up:.0f} s, 1 after {down:.0f} s"
    )
    add_to_summary(f"autoscaling, ready pods over time: {timeline}")
    add_to_summary(f"autoscaling: {report}")
    assert report.failures == []
    wait_for(kube, "pets", namespace=namespace, what="one replica in the status", probe=_scaled_to_one)


def _scaled_to_one(live: Object) -> bool:
    status = current_condition(live, "AutoscalingReady").get("status")
    return status == "True" and live["status"]["readySummary"] == "1/1"


def _wait_for_metrics(kube: Kube, namespace: str) -> None:
    """Wait until metrics-server has metrics of the pod: it scrapes every 15 seconds, and needs two scrapes."""

    def measured() -> bool:
        found = kube.request("GET", _POD_METRICS.format(namespace=namespace))
        return bool(found["items"])

    until(measured, seconds=90, what="metrics of the pod", every=1.0)


def _timeline(counts: Sequence[tuple[float, int]], began: float) -> str:
    """The count at each change, with the seconds since the load started."""
    changes = [counts[0], *(now for before, now in pairwise(counts) if now[1] != before[1])]
    return ", ".join(f"{max(0.0, at - began):.0f} s: {count}" for at, count in changes)
