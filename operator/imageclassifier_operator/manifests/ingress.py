"""The Ingress, through which an ingress controller makes the Service reachable on a host name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.manifests.metadata import child_metadata
from imageclassifier_operator.manifests.service import PORT_NAME

if TYPE_CHECKING:
    from imageclassifier_operator.manifests.params import Params


def build(params: Params) -> dict[str, Any] | None:
    """Return the Ingress, or None if the spec has none."""
    ingress = params.spec.ingress
    if ingress is None:
        return None
    metadata = child_metadata(params.ic, annotations=ingress.annotations)
    backend = {"service": {"name": metadata["name"], "port": {"name": PORT_NAME}}}
    path = {"path": ingress.path, "pathType": "Prefix", "backend": backend}
    tls = {"hosts": [ingress.host], "secretName": ingress.tls_secret_name}
    return {
        "metadata": metadata,
        "spec": {
            **({} if ingress.class_name is None else {"ingressClassName": ingress.class_name}),
            **({} if ingress.tls_secret_name is None else {"tls": [tls]}),
            "rules": [{"host": ingress.host, "http": {"paths": [path]}}],
        },
    }
