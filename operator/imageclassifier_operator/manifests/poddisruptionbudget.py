"""The PodDisruptionBudget, which bounds how many pods a drain of nodes stops at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.labels import selector_labels
from imageclassifier_operator.manifests.metadata import child_metadata

if TYPE_CHECKING:
    from imageclassifier_operator.manifests.params import Params


def build(params: Params) -> dict[str, Any] | None:
    """Return the PodDisruptionBudget, or None if it is disabled or only one pod is possible.

    A budget for a single pod would either do nothing, or block every drain.
    """
    spec = params.spec
    max_replicas = spec.replicas if spec.autoscaling is None else spec.autoscaling.max_replicas
    if spec.disruption.budget == "Disabled" or max_replicas < 2:
        return None
    return {
        "metadata": child_metadata(params.ic),
        "spec": {
            "selector": {"matchLabels": selector_labels(params.ic.name)},
            "maxUnavailable": spec.disruption.max_unavailable,
            # A pod that is not ready does not serve, and must not block a drain.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
