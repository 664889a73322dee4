"""Writes Events, which `kubectl describe` shows: of changes of Ready, and of the pod template."""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.kube import EVENTS, Cluster, KubeError
from imageclassifier_operator.naming import child_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX_MESSAGE_LENGTH = 1000
_TRANSIENT_REASONS = frozenset({"DeploymentMissing", "RolloutPending"})
"""Reasons that usually last for milliseconds: no Event is written for them, only the conditions report them."""

logger = logging.getLogger(__name__)


async def report(
    cluster: Cluster,
    live: Mapping[str, Any],
    *,
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
) -> None:
    """Write an Event if the status or the reason of Ready changed. A failure to write it is only logged."""
    old, new = _find_condition("Ready", before), _find_condition("Ready", after)
    unchanged = (old.get("status"), old.get("reason")) == (new.get("status"), new.get("reason"))
    if unchanged or new["reason"] in _TRANSIENT_REASONS:
        return
    stalled = _find_condition("Stalled", after).get("status") == "True"
    await write_event(cluster, live, reason=new["reason"], message=new["message"], warning=stalled)


async def write_event(
    cluster: Cluster, live: Mapping[str, Any], *, reason: str, message: str, warning: bool
) -> None:
    """Write an Event about an ImageClassifier. A failure to write it is only logged."""
    try:
        await cluster.create(EVENTS, _event(live, reason=reason, message=message, warning=warning))
    except KubeError as error:
        logger.warning("Failed to write an Event: %s", error.message)


def _find_condition(condition_type: str, conditions: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return next((condition for condition in conditions if condition["type"] == condition_type), {})


def _event(live: Mapping[str, Any], *, reason: str, message: str, warning: bool) -> dict[str, Any]:
    metadata = live["metadata"]
    now = datetime.now(UTC)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{child_name(metadata['name'])}.{uuid.uuid4().hex[:12]}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": live["apiVersion"],
            "kind": live["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "message": message[:_MAX_MESSAGE_LENGTH],
        "source": {"component": "imageclassifier-operator"},
        "firstTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lastTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "count": 1,
    }
