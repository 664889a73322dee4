"""Transfers `spec.replicas` of a Deployment to a HorizontalPodAutoscaler, ours or that of somebody else.

A field is reset to its default when the last manager that applied it drops it. For `replicas`, the default is 1:
if the operator only dropped the field, the Deployment would be scaled down to one pod. So a second field manager
first applies the current number, once. Then the first manager drops the field (see "Transferring ownership" in the
Kubernetes documentation of server-side apply). The second manager never writes again; from then on, the autoscaler
sets the number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.apply.difference import owns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_operator.api import Autoscaling

REPLICAS_MANAGER = "imageclassifier-operator-replicas"
_REPLICAS = ("spec", "replicas")


def deployment_to_create(desired: Mapping[str, Any], autoscaling: Autoscaling | None) -> dict[str, Any]:
    """Return the Deployment as it is created: with autoscaling, it starts with `minReplicas` pods, not with 1."""
    if autoscaling is None:
        return dict(desired)
    return {**desired, "spec": {**desired["spec"], "replicas": autoscaling.min_replicas}}


def handover(live: Mapping[str, Any], autoscaling: Autoscaling | None, *, manager: str) -> dict[str, Any] | None:
    """Return what the second manager has to apply before `manager` drops the field, or None if nothing is needed.

    It applies the current number of replicas, within the bounds of the autoscaler. A Deployment with 0 replicas is
    written even if `manager` does not own the field, since an autoscaler ignores such a Deployment. The resource
    version is included, so that the write fails with a conflict if the autoscaler writes at the same time.
    """
    if autoscaling is None:
        return None
    current = live["spec"].get("replicas", 1)
    if current > 0 and not owns(live, _REPLICAS, manager=manager):
        return None
    return _with_replicas(live, min(max(current, autoscaling.min_replicas), autoscaling.max_replicas))


def handover_to_others(live: Mapping[str, Any], *, manager: str) -> dict[str, Any] | None:
    """Return the same for an autoscaler of somebody else, which is left the current number of replicas."""
    if not owns(live, _REPLICAS, manager=manager):
        return None
    return _with_replicas(live, live["spec"].get("replicas", 1))


def _with_replicas(live: Mapping[str, Any], count: int) -> dict[str, Any]:
    metadata = live["metadata"]
    return {
        "apiVersion": live["apiVersion"],
        "kind": live["kind"],
        "metadata": {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion")},
        "spec": {"replicas": count},
    }
