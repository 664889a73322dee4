"""What a spec wants to exist: one file per child, pure functions from a spec to an object or None."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.manifests import (
    deployment,
    horizontalpodautoscaler,
    service,
    serviceaccount,
    servicemonitor,
)
from imageclassifier_operator.manifests.capabilities import Capabilities

if TYPE_CHECKING:
    from imageclassifier_operator.api import ImageClassifier, OperatorConfig

__all__ = ["Capabilities", "build_all"]

_IN_ORDER = (serviceaccount, deployment, service, horizontalpodautoscaler, servicemonitor)
"""Pods need their ServiceAccount, the autoscaler its Deployment; monitoring comes last."""


def build_all(ic: ImageClassifier, *, config: OperatorConfig, capabilities: Capabilities) -> list[dict[str, Any]]:
    """Return every wanted child, in the order in which they are applied."""
    built = (child.build(ic, config=config, capabilities=capabilities) for child in _IN_ORDER)
    return [manifest for manifest in built if manifest is not None]
