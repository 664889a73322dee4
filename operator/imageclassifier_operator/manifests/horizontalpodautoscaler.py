"""The HorizontalPodAutoscaler, which sets the number of pods if the spec requests autoscaling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from imageclassifier_operator.manifests.metadata import child_metadata
from imageclassifier_operator.naming import child_name

if TYPE_CHECKING:
    from imageclassifier_operator.api import Autoscaling
    from imageclassifier_operator.api.v1alpha1 import ScalingRules
    from imageclassifier_operator.manifests.params import Params

_TOLERANCE_SINCE: Final = (1, 35)
"""The version that enables `tolerance` by default: KEP-4951."""


def build(params: Params) -> dict[str, Any] | None:
    """Return the HorizontalPodAutoscaler, or None without autoscaling."""
    autoscaling = params.spec.autoscaling
    if autoscaling is None:
        return None
    with_tolerance = unsupported(params) is None
    return {
        "metadata": child_metadata(params.ic),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": child_name(params.ic.name)},
            "minReplicas": autoscaling.min_replicas,
            "maxReplicas": autoscaling.max_replicas,
            "metrics": _metrics(autoscaling),
            "behavior": {
                "scaleUp": _rules(autoscaling.behavior.scale_up, with_tolerance=with_tolerance),
                "scaleDown": _rules(autoscaling.behavior.scale_down, with_tolerance=with_tolerance),
            },
        },
    }


def unsupported(params: Params) -> str | None:
    """Return a sentence about `tolerance` if it is given and the API server does not know it."""
    autoscaling = params.spec.autoscaling
    if autoscaling is None:
        return None
    behavior = autoscaling.behavior
    if behavior.scale_up.tolerance is None and behavior.scale_down.tolerance is None:
        return None
    return params.too_old("tolerance in spec.autoscaling.behavior", since=_TOLERANCE_SINCE)


def _rules(rules: ScalingRules, *, with_tolerance: bool) -> dict[str, Any]:
    result: dict[str, Any] = rules.model_dump(mode="json", by_alias=True, exclude={"tolerance"})
    if rules.tolerance is not None and with_tolerance:
        result["tolerance"] = _fraction(rules.tolerance)
    return result


def _fraction(percent: int) -> str:
    """Return a percentage as the API server writes such a quantity: 5 % is 50m, 100 % is 1."""
    whole, thousandths = divmod(percent * 10, 1000)
    return f"{percent * 10}m" if thousandths else str(whole)


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
