"""The Service: one address for all pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.labels import selector_labels
from imageclassifier_operator.manifests.metadata import child_metadata

if TYPE_CHECKING:
    from imageclassifier_operator.manifests.params import Params


def build(params: Params) -> dict[str, Any]:
    """Return the Service. `protocol` is given, since server-side apply identifies a port by port and protocol."""
    return {
        "metadata": child_metadata(params.ic),
        "spec": {
            "type": params.spec.service.type,
            "selector": selector_labels(params.ic.name),
            "ports": [{"name": "http", "port": params.spec.service.port, "protocol": "TCP", "targetPort": "http"}],
        },
    }
