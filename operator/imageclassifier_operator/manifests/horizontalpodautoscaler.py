"""The HorizontalPodAutoscaler, which sets the number of pods with autoscaling."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.manifests.metadata import child_metadata
from imageclassifier_operator.naming import child_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_operator.api import Autoscaling
    from imageclassifier_operator.manifests.params import Params

DEFAULT_BEHAVIOR: Mapping[str, Mapping[str, Any]] = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [
            {"type": "Percent", "value": 100, "periodSeconds": 15},
            {"type": "Pods", "value": 4, "periodSeconds": 15},
        ],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 300,
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    },
}
"""Scales up immediately, down after five minutes of lower load; the schema of the CRD has the same."""


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
            "behavior": _behavior(autoscaling),
        },
    }


def _behavior(autoscaling: Autoscaling) -> dict[str, Any]:
    given = autoscaling.behavior or {}
    return {
        direction: deepcopy({**default, **(given.get(direction) or {})})
        for direction, default in DEFAULT_BEHAVIOR.items()
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
