"""The HTTPRoute, through which the controller of a Gateway makes the Service reachable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.manifests.metadata import child_metadata

if TYPE_CHECKING:
    from imageclassifier_operator.api.exposure import ParentRef
    from imageclassifier_operator.manifests.params import Params


def build(params: Params) -> dict[str, Any] | None:
    """Return the HTTPRoute, or None if the spec has none. It has one rule for all paths."""
    gateway = params.spec.gateway
    if gateway is None:
        return None
    metadata = child_metadata(params.ic)
    return {
        "metadata": metadata,
        "spec": {
            "parentRefs": [_parent_ref(parent) for parent in gateway.parent_refs],
            **({"hostnames": list(gateway.hostnames)} if gateway.hostnames else {}),
            "rules": [{"backendRefs": [{"name": metadata["name"], "port": params.spec.service.port}]}],
        },
    }


def _parent_ref(parent: ParentRef) -> dict[str, Any]:
    fields = {
        "name": parent.name,
        "namespace": parent.namespace,
        "sectionName": parent.section_name,
        "port": parent.port,
    }
    return {field: value for field, value in fields.items() if value is not None}
