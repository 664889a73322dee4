"""The Service: one address for all pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from imageclassifier_operator.labels import selector_labels
from imageclassifier_operator.manifests.metadata import child_metadata

if TYPE_CHECKING:
    from imageclassifier_operator.manifests.params import Params

_TRAFFIC_SINCE: Final = {"PreferClose": (1, 31), "PreferSameZone": (1, 31), "PreferSameNode": (1, 34)}
"""The version that enables each value of `trafficDistribution` by default: KEP-4444, KEP-3015."""

PORT_NAME: Final = "http"
"""The name of the port, by which other objects refer to it."""

_RENAMED_IN: Final = (1, 34)
"""The version that calls PreferClose PreferSameZone, with the same meaning; it warns of the older name."""


def build(params: Params) -> dict[str, Any]:
    """Return the Service. `protocol` is given, since server-side apply identifies a port by port and protocol."""
    service = params.spec.service
    distribution = None if unsupported(params) else _current_name(params)
    return {
        "metadata": child_metadata(params.ic, annotations=service.annotations),
        "spec": {
            "type": service.type,
            "selector": selector_labels(params.ic.name),
            "ports": [{"name": PORT_NAME, "port": service.port, "protocol": "TCP", "targetPort": "http"}],
            **({} if distribution is None else {"trafficDistribution": distribution}),
        },
    }


def unsupported(params: Params) -> str | None:
    """Return a sentence about `trafficDistribution` if the API server does not know its value."""
    value = params.spec.service.traffic_distribution
    if value is None:
        return None
    return params.too_old(f"spec.service.trafficDistribution {value}", since=_TRAFFIC_SINCE[value])


def _current_name(params: Params) -> str | None:
    """Return `trafficDistribution` with the name that the API server's version has for it."""
    value = params.spec.service.traffic_distribution
    if value not in {"PreferClose", "PreferSameZone"}:
        return value
    return "PreferSameZone" if params.capabilities.kubernetes >= _RENAMED_IN else "PreferClose"
