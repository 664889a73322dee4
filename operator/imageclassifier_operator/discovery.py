"""Which optional APIs the server offers; read again from time to time, since CRDs come and go."""

from __future__ import annotations

from imageclassifier_operator.kube import SERVICE_MONITORS, Cluster
from imageclassifier_operator.manifests import Capabilities


async def discover(cluster: Cluster) -> Capabilities:
    """Return what the server offers. Raises `KubeError` if it does not answer."""
    return Capabilities(service_monitors=await cluster.serves(SERVICE_MONITORS))
