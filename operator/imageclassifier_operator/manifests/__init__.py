"""What a spec wants to exist: one file per child, pure functions from a spec to an object or None."""

from __future__ import annotations

from typing import Any

from imageclassifier_operator.manifests import (
    deployment,
    horizontalpodautoscaler,
    service,
    serviceaccount,
    servicemonitor,
)
from imageclassifier_operator.manifests.params import Capabilities, Params

__all__ = ["Capabilities", "Params", "build_all"]

_IN_ORDER = (serviceaccount, deployment, service, horizontalpodautoscaler, servicemonitor)
"""Pods need their ServiceAccount, the autoscaler its Deployment; monitoring comes last."""


def build_all(params: Params) -> list[dict[str, Any]]:
    """Return every wanted child, in the order in which they are applied."""
    built = (child.build(params) for child in _IN_ORDER)
    return [manifest for manifest in built if manifest is not None]
