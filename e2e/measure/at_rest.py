"""Counts requests to the API server while nothing changes; the operator must not write in that time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from e2e import audit
from e2e.classifiers import condition, delete, manifest, wait_for, wait_until_ready
from e2e.cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

    from e2e.cluster.api import Object
    from e2e.kube import Kube

SPECS: tuple[Mapping[str, Any], ...] = (
    {"rollout": {"drainSeconds": 0}},
    {"rollout": {"drainSeconds": 0}, "monitoring": {"serviceMonitor": "Disabled"}},
    {
        "rollout": {"drainSeconds": 0},
        "autoscaling": {
            "minReplicas": 1,
            "maxReplicas": 3,
            "targetCPUUtilization": 80,
            "targetMemoryUtilization": 90,
        },
    },
)
"""Specs of objects that together have every kind of child."""

_SETTLE_SECONDS = 5.0


def count_requests_at_rest(kube: Kube, *, namespace: str, seconds: float) -> Counter[audit.RequestKey]:
    """Create the objects, wait until all are Ready, then count all requests in a period of `seconds`."""
    log = kube.target.audit_log
    if log is None:
        raise ClusterError("only the local cluster's audit log can be read")
    names = [f"rest-{number}" for number in range(len(SPECS))]
    for name, spec in zip(names, SPECS, strict=True):
        kube.apply(manifest(name, namespace=namespace, spec=spec))
    for name in names:
        wait_until_ready(kube, name, namespace=namespace)
        # A new pod has no metrics for up to a minute; when it has, the status changes again.
        what = "an active autoscaler"
        wait_for(kube, name, namespace=namespace, what=what, probe=_autoscaler_is_settled, seconds=120)
    _wait_until_settled(kube, namespace)
    start = audit.position(log)
    time.sleep(seconds)
    counts = audit.count(audit.lines_since(log, start))
    for name in names:
        delete(kube, name, namespace=namespace)
    return counts


def _autoscaler_is_settled(live: Object) -> bool:
    """Whether the autoscaler is active, or not requested."""
    found = condition(live, "AutoscalingReady")
    return found.get("status") == "True" or found.get("reason") == "NotRequested"


def _wait_until_settled(kube: Kube, namespace: str) -> None:
    """Wait until the objects and their Deployments have not changed for a while."""
    last, since = "", time.monotonic()
    deadline = since + 60
    while time.monotonic() - since < _SETTLE_SECONDS and time.monotonic() < deadline:
        found = kube.list("imageclassifiers", namespace=namespace) + kube.list("deployments", namespace=namespace)
        now = ",".join(item["metadata"]["resourceVersion"] for item in found)
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(0.2)
