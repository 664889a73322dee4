"""Under load, the number of pods grows, and it shrinks after the load; no request fails."""

from __future__ import annotations

import time
from http import HTTPStatus
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
"""High enough that the autoscaler wants three pods, and low enough that no request fails on a busy machine.

Its target is 50m of CPU for each pod: 50 % of what a pod requests.
"""
_UP_SECONDS, _DOWN_SECONDS = 180, 240
_METRICS_API = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"
"""It exists as soon as metrics-server is installed, which may not be ready yet."""

_POD_METRICS = "/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"


@pytest.fixture
def metrics(kube: Kube) -> None:
    """Skips the test if the cluster has no metrics-server; on the local cluster, that is an error."""
    try:
        kube.request("GET", _METRICS_API)
    except ApiError as error:
        if kube.target.local or error.code != HTTPStatus.NOT_FOUND:
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
        load_started = elapsed()
        with steady_load(endpoint, photograph, per_second=_PER_SECOND) as report:
            until(
                lambda: ready.counts[-1][1] == _MAX_REPLICAS,
                seconds=_UP_SECONDS,
                what=f"{_MAX_REPLICAS} ready pods under load",
            )
            up = elapsed() - load_started
            # Let the last pod serve requests, too.
            time.sleep(5)
        load_stopped = elapsed()
        until(lambda: ready.counts[-1][1] == 1, seconds=_DOWN_SECONDS, what="scale-down to one pod after the load")
        down = elapsed() - load_stopped
        timeline = _timeline(ready.counts, load_started)

    add_to_summary(
        f"autoscaling at {_PER_SECOND:.0f} requests/s: {_MAX_REPLICAS} pods {up:.0f} s after its start, "
        f"1 pod {down:.0f} s after its end"
    )
    add_to_summary(f"autoscaling, ready pods over time: {timeline}")
    add_to_summary(f"autoscaling: {report}")
    assert report.failures == []
    wait_for(kube, "pets", namespace=namespace, what="one replica in the status", probe=_scaled_to_one)


def _scaled_to_one(live: Object) -> bool:
    status = current_condition(live, "AutoscalingReady").get("status")
    return status == "True" and live["status"]["readySummary"] == "1/1"


def _wait_for_metrics(kube: Kube, namespace: str) -> None:
    """Wait until metrics-server is ready and has metrics of the pod: two scrapes, one every 15 seconds."""

    def measured() -> bool:
        try:
            found = kube.request("GET", _POD_METRICS.format(namespace=namespace))
        except ApiError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            return False
        return bool(found["items"])

    until(measured, seconds=120, what="metrics of the pod", every=1.0)


def _timeline(counts: Sequence[tuple[float, int]], load_started: float) -> str:
    """The count at each change, with the seconds since the load started; times are from `elapsed()`.

    The first count is from before the load, and is shown at 0 s.
    """
    changes = [counts[0], *(current for previous, current in pairwise(counts) if current[1] != previous[1])]
    return ", ".join(f"{max(0.0, at - load_started):.0f} s: {count}" for at, count in changes)
