"""Discovers which optional APIs the API server serves. This is repeated, since CRDs are installed and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageclassifier_operator.children import CHILDREN
from imageclassifier_operator.manifests import Capabilities

if TYPE_CHECKING:
    from imageclassifier_operator.kube import Cluster


async def discover(cluster: Cluster) -> Capabilities:
    """Return the capabilities of the API server. Raises `KubeError` if a request fails."""
    resources = {child.capability: child.resource for child in CHILDREN if child.capability is not None}
    return Capabilities(**{name: await cluster.serves(resource) for name, resource in resources.items()})
