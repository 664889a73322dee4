"""Finds the autoscaler of somebody else that sets the replicas of a Deployment, so that the operator does not.

Without that, both would write `spec.replicas` for ever. A HorizontalPodAutoscaler of a user counts, and so does
the one that KEDA creates for a ScaledObject. One that scales the ImageClassifier itself sets its spec, so it needs
none of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.children import AUTOSCALER
from imageclassifier_operator.naming import child_name
from imageclassifier_operator.ownership import is_controlled_by

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_operator.api import ImageClassifier
    from imageclassifier_operator.kube import Cluster


async def external_autoscaler(
    cluster: Cluster, ic: ImageClassifier, desired: Mapping[str, Any], live: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the HorizontalPodAutoscaler that sets the replicas of a live Deployment, or None if the spec does.

    The spec does if there should be no replicas. If there are none, an autoscaler does nothing, unless it is one
    that scales to zero.
    """
    wanted, found, is_scaled = desired["spec"].get("replicas"), live["spec"].get("replicas", 1), _is_scaled(live)
    if ic.spec.autoscaling is not None or not wanted or (not is_scaled and found in {wanted, 0}):
        return None
    listing = await cluster.list(AUTOSCALER.resource, namespace=ic.namespace)
    others = (each for each in listing.items if not is_controlled_by(each, ic.uid))
    autoscaler = next((each for each in others if _scales(each, child_name(ic.name))), None)
    if autoscaler is None or (not found and not _scales_to_zero(autoscaler)):
        return None
    return autoscaler


def without_replicas(desired: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Deployment whose replicas are left as they are."""
    return {**desired, "spec": {key: value for key, value in desired["spec"].items() if key != "replicas"}}


def _is_scaled(live: Mapping[str, Any]) -> bool:
    """Whether somebody has set the replicas through the subresource `scale`, as autoscalers do."""
    return any(
        entry.get("subresource") == "scale" and "f:replicas" in (entry.get("fieldsV1") or {}).get("f:spec", {})
        for entry in live["metadata"].get("managedFields") or []
    )


def _scales(autoscaler: Mapping[str, Any], deployment: str) -> bool:
    target = autoscaler["spec"]["scaleTargetRef"]
    is_deployment = target["kind"] == "Deployment" and target.get("apiVersion", "").startswith("apps/")
    return is_deployment and target["name"] == deployment and not autoscaler["metadata"].get("deletionTimestamp")


def _scales_to_zero(autoscaler: Mapping[str, Any]) -> bool:
    """Whether it may be why there are no replicas: KEDA stops the pods itself, and starts them again."""
    owners = autoscaler["metadata"].get("ownerReferences") or []
    return autoscaler["spec"].get("minReplicas") == 0 or any(each["kind"] == "ScaledObject" for each in owners)
