"""Discovers the API server's version and optional APIs. This is repeated, since both can change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.children import CHILDREN
from imageclassifier_operator.manifests import Capabilities

if TYPE_CHECKING:
    from imageclassifier_operator.kube import Cluster


async def discover(cluster: Cluster) -> Capabilities:
    """Return the capabilities of the API server. Raises `KubeError` if a request fails."""
    resources = {child.capability: child.resource for child in CHILDREN if child.capability is not None}
    served: dict[str, Any] = {name: await cluster.serves(resource) for name, resource in resources.items()}
    return Capabilities(kubernetes=await cluster.version(), **served)
