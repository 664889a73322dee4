"""The HorizontalPodAutoscaler, which sets the number of pods if the spec requests autoscaling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.manifests.metadata import child_metadata
from imageclassifier_operator.naming import child_name

if TYPE_CHECKING:
    from imageclassifier_operator.api import Autoscaling
    from imageclassifier_operator.manifests.params import Params


def build(params: Params) -> dict[str, Any] | None:
    """Return the HorizontalPodAutoscaler, or None without autoscaling."""
    autoscaling = params.spec.autoscaling
    if autoscaling is None:
        return None
    return {
        "metadata": child_metadata(params.ic),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": child_name(params.ic.name)},
            "minReplicas": autoscaling.min_replicas,
            "maxReplicas": autoscaling.max_replicas,
            "metrics": _metrics(autoscaling),
            "behavior": autoscaling.behavior.model_dump(mode="json", by_alias=True),
        },
    }


def _metrics(autoscaling: Autoscaling) -> list[dict[str, Any]]:
    targets = {"cpu": autoscaling.target_cpu_utilization, "memory": autoscaling.target_memory_utilization}
    return [
        {
            "type": "Resource",
            "resource": {"name": name, "target": {"type": "Utilization", "averageUtilization": percent}},
        }
        for name, percent in targets.items()
        if percent is not None
    ]
