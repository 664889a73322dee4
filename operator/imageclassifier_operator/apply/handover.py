"""Who owns `spec.replicas` of a Deployment while a HorizontalPodAutoscaler scales it.

A field that its last applier drops returns to its default, which for replicas is 1: dropping it when autoscaling
is switched on would scale the Deployment down to one pod. So a second field manager first takes over the current
count, once, and then the first one drops the field (Kubernetes, "Server-Side Apply", transferring ownership). The
second manager never writes again; from then on the count belongs to the autoscaler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.apply.difference import owns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_operator.api import Autoscaling

REPLICAS_MANAGER = "imageclassifier-operator-replicas"
_REPLICAS = ("spec", "replicas")


def created(desired: Mapping[str, Any], autoscaling: Autoscaling | None) -> dict[str, Any]:
    """Return the Deployment to create: with autoscaling, it starts at `minReplicas` and not at 1."""
    if autoscaling is None:
        return dict(desired)
    return {**desired, "spec": {**desired["spec"], "replicas": autoscaling.min_replicas}}


def handover(live: Mapping[str, Any], autoscaling: Autoscaling | None, *, manager: str) -> dict[str, Any] | None:
    """Return what the second manager has to apply before `manager` drops the field, None if nothing.

    The count is the current one within the autoscaler's bounds. A count of 0 is taken over too, since an
    autoscaler ignores a Deployment that was scaled to zero. The resource version makes a race with it a conflict.
    """
    if autoscaling is None:
        return None
    current = live["spec"].get("replicas", 1)
    if current > 0 and not owns(live, _REPLICAS, manager=manager):
        return None
    metadata = live["metadata"]
    return {
        "apiVersion": live["apiVersion"],
        "kind": live["kind"],
        "metadata": {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion")},
        "spec": {"replicas": min(max(current, autoscaling.min_replicas), autoscaling.max_replicas)},
    }
