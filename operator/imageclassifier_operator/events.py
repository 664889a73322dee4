"""Events for `kubectl describe`: one when the status or reason of Ready changes, none at rest."""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.kube import EVENTS, Cluster, KubeError
from imageclassifier_operator.naming import child_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LONGEST_MESSAGE = 1000
_TRANSIENT = frozenset({"DeploymentMissing", "RolloutPending"})
"""Reasons that last for milliseconds: conditions report them, an Event would only be noise."""

logger = logging.getLogger(__name__)


async def report(
    cluster: Cluster,
    live: Mapping[str, Any],
    *,
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
) -> None:
    """Write an Event about a change of Ready; a failure to write it is only logged."""
    old, new = _named("Ready", before), _named("Ready", after)
    same = (old.get("status"), old.get("reason")) == (new.get("status"), new.get("reason"))
    if same or new["reason"] in _TRANSIENT:
        return
    stalled = _named("Stalled", after).get("status") == "True"
    try:
        await cluster.create(EVENTS, _event(live, new, warning=stalled))
    except KubeError as error:
        logger.warning("Failed to write an Event: %s", error.message)


def _named(kind: str, conditions: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return next((condition for condition in conditions if condition["type"] == kind), {})


def _event(live: Mapping[str, Any], ready: Mapping[str, Any], *, warning: bool) -> dict[str, Any]:
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
        "reason": ready["reason"],
        "message": ready["message"][:_LONGEST_MESSAGE],
        "source": {"component": "imageclassifier-operator"},
        "firstTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lastTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "count": 1,
    }
