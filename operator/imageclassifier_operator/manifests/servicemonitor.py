"""The ServiceMonitor, which the Prometheus operator uses to discover the pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.labels import selector_labels
from imageclassifier_operator.manifests.metadata import child_metadata

if TYPE_CHECKING:
    from imageclassifier_operator.manifests.params import Params


def build(params: Params) -> dict[str, Any] | None:
    """Return the ServiceMonitor, or None if it is `Disabled`, or `Auto` and the API server does not serve it."""
    monitoring = params.spec.monitoring
    if monitoring.service_monitor == "Disabled":
        return None
    if monitoring.service_monitor == "Auto" and not params.capabilities.service_monitors:
        return None
    metadata = child_metadata(params.ic)
    # The operator's labels take precedence over those of the spec: it finds its children by them.
    metadata["labels"] = {**monitoring.labels, **metadata["labels"]}
    return {
        "metadata": metadata,
        "spec": {
            "selector": {"matchLabels": selector_labels(params.ic.name)},
            "endpoints": [{"port": "http", "path": "/metrics", "interval": monitoring.interval}],
        },
    }
