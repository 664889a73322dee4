"""The one address of all pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.labels import selector_labels
from imageclassifier_operator.manifests.metadata import child_metadata

if TYPE_CHECKING:
    from imageclassifier_operator.api import ImageClassifier, OperatorConfig
    from imageclassifier_operator.manifests.capabilities import Capabilities


def build(ic: ImageClassifier, *, config: OperatorConfig, capabilities: Capabilities) -> dict[str, Any]:
    """Return the Service; `protocol` is part of the key by which the list of ports is merged."""
    del config, capabilities
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": child_metadata(ic),
        "spec": {
            "type": ic.spec.service.type,
            "selector": selector_labels(ic.name),
            "ports": [{"name": "http", "port": ic.spec.service.port, "protocol": "TCP", "targetPort": "http"}],
        },
    }
