"""What the API server offers, read anew now and then, since CRDs come and go."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from imageclassifier_operator.kube import SERVICE_MONITORS, Cluster, autoscalers
from imageclassifier_operator.manifests import Capabilities

if TYPE_CHECKING:
    from collections.abc import Sequence

_AUTOSCALING_VERSIONS: Sequence[str] = ("autoscaling/v2", "autoscaling/v2beta2")

logger = logging.getLogger(__name__)


async def discover(cluster: Cluster) -> Capabilities:
    """Return the best versions on offer. Raises `KubeError` where the server does not answer."""
    for version in _AUTOSCALING_VERSIONS:
        if await cluster.serves(autoscalers(version)):
            break
    return Capabilities(autoscaling_version=version, service_monitors=await cluster.serves(SERVICE_MONITORS))
