"""Measures what the operator costs while nothing changes, or while nothing can be scheduled."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from e2e import audit
from e2e.classifiers import condition, delete, manifest, wait_for, wait_for_reason, wait_until_ready
from e2e.cluster.errors import ClusterError
from e2e.install import NAMESPACE, OPERATOR_USER
from e2e.operator_process import cpu_seconds

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

_UNSCHEDULABLE: Mapping[str, Any] = {"scheduling": {"nodeSelector": {"imageclassifier.dev/no-node": "has-this"}}}
_SETTLE_SECONDS = 5.0
_FIRST_MINUTE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the operator costs in a period, without what it does for objects in other namespaces.

    cpu_seconds: of all its processes; None if they do not run on this machine.
    """

    seconds: float
    counts: Counter[audit.RequestKey]
    cpu_seconds: float | None

    @property
    def reads(self) -> int:
        """Read requests, without watches."""
        return audit.reads(self.counts, OPERATOR_USER).total()

    @property
    def writes(self) -> int:
        """Write requests, without those to the Lease."""
        return audit.writes(self.counts, OPERATOR_USER).total()

    def line(self) -> str:
        """The cost in one line."""
        leases = audit.lease_writes(self.counts, OPERATOR_USER).total()
        total = sum(number for key, number in self.counts.items() if key.user == OPERATOR_USER)
        cpu = "" if self.cpu_seconds is None else f", {100 * self.cpu_seconds / self.seconds:.1f} % of a core"
        return (
            f"{self.seconds:.0f} s: {self.writes} writes and {self.reads} reads by the operator, "
            f"{leases} writes of its Lease, {total / self.seconds:.1f} requests/s in total{cpu}"
        )


def measure_at_rest(kube: Kube, *, namespace: str, seconds: float, objects: int = len(SPECS)) -> Cost:
    """Create the objects, wait until all are Ready, then measure a period."""
    names = [f"rest-{number}" for number in range(objects)]
    for name, spec in zip(names, islice(cycle(SPECS), objects), strict=True):
        many = objects > len(SPECS)  # they have to fit on a small machine, and start one after the other
        small = {"resources": {"requests": {"cpu": "20m", "memory": "128Mi"}}} if many else {}
        kube.apply(manifest(name, namespace=namespace, spec={**spec, **small}))
        if many:
            wait_until_ready(kube, name, namespace=namespace)
    for name in names:
        wait_until_ready(kube, name, namespace=namespace)
        # A new pod has no metrics for up to a minute; when it has, the status changes again.
        what = "an active autoscaler"
        wait_for(kube, name, namespace=namespace, what=what, probe=_autoscaler_is_settled, seconds=120)
    _wait_until_settled(kube, namespace)
    cost = _measure(kube, namespace, seconds)
    for name in names:
        delete(kube, name, namespace=namespace)
    return cost


def measure_unschedulable(kube: Kube, *, namespace: str, seconds: float, objects: int) -> Cost:
    """Create objects whose pods fit no node, and measure a period after the first minute."""
    names = [f"stuck-{number}" for number in range(objects)]
    for name in names:
        kube.apply(manifest(name, namespace=namespace, spec=_UNSCHEDULABLE))
    for name in names:
        wait_for_reason(kube, name, "Unschedulable", namespace=namespace)
    time.sleep(_FIRST_MINUTE_SECONDS)
    cost = _measure(kube, namespace, seconds)
    for name in names:
        delete(kube, name, namespace=namespace)
    return cost


def _measure(kube: Kube, namespace: str, seconds: float) -> Cost:
    log = kube.target.audit_log
    if log is None:
        raise ClusterError("only the local cluster's audit log can be read")
    start, before = audit.position(log), cpu_seconds()
    time.sleep(seconds)
    after = cpu_seconds()
    lines = audit.without_other_namespaces(audit.lines_since(log, start), namespace, NAMESPACE)
    used = None if before is None or after is None else after - before
    return Cost(seconds=seconds, counts=audit.count(lines), cpu_seconds=used)


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
