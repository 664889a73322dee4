"""Writes a desired object over a live one, and removes what others have put in its way."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.apply.intruders import intruders, obstacles
from imageclassifier_operator.apply.ownership_transfer import transferred
from imageclassifier_operator.kube import RejectedError
from imageclassifier_operator.ownership import MANAGER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imageclassifier_operator.apply.intruders import Intruder
    from imageclassifier_operator.kube import Cluster, Resource

logger = logging.getLogger(__name__)


async def overwrite(
    cluster: Cluster, resource: Resource, desired: Mapping[str, Any], live: dict[str, Any]
) -> dict[str, Any]:
    """Apply the desired object over the live one, which must have the same UID; return the resulting object.

    Raises:
        KubeError: the API server refuses it for another reason than fields of others; they are left as they are.
    """
    live = await _take_over(cluster, resource, live, intruders(desired, live)) or live
    body = {**desired, "metadata": {**desired["metadata"], "uid": live["metadata"]["uid"]}}
    try:
        return await cluster.apply(resource, body, manager=MANAGER)
    except RejectedError as error:
        found = obstacles(desired, live, refused=error.fields) if error.reason == "Invalid" else ()
        taken = await _take_over(cluster, resource, live, found)
        if taken is None:
            raise
    try:
        return await cluster.apply(resource, body, manager=MANAGER)
    except RejectedError:  # so they were not the reason, and are given back
        await cluster.set_managed_fields(resource, taken, live["metadata"].get("managedFields") or [])
        raise


async def _take_over(
    cluster: Cluster, resource: Resource, live: Mapping[str, Any], fields: Iterable[Intruder]
) -> dict[str, Any] | None:
    """Make our manager the owner of fields that we do not want; None if there are none, or if it is already."""
    found = list(fields)
    owners = transferred(live, [each.steps for each in found], manager=MANAGER) if found else None
    if owners is None:
        return None
    taken = await cluster.set_managed_fields(resource, live, owners)
    metadata, paths = live["metadata"], ", ".join(each.path for each in found)
    logger.info("Took over %s %s/%s: %s", resource.kind, metadata["namespace"], metadata["name"], paths)
    return taken
