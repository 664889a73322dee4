"""Writes a desired object over a live one, and removes what others have put in its way."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.apply.intruders import intruders, obstacles
from imageclassifier_operator.apply.overrides import digest_of
from imageclassifier_operator.apply.ownership_transfer import is_owned_by_others, transferred
from imageclassifier_operator.apply.preconditions import for_version
from imageclassifier_operator.kube import ConflictError, KubeError, RejectedError
from imageclassifier_operator.ownership import MANAGER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from imageclassifier_operator.apply.intruders import Intruder
    from imageclassifier_operator.kube import Cluster, Resource

_MAX_FUTILE = 1000
_FUTILE_SECONDS = 300.0

logger = logging.getLogger(__name__)


class FutileTakeovers:
    """The last takeover of each child that did not help: for the same desired object, it is not tried again soon.

    The key is the UID of the child, so that a child that is created again has its own record.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, tuple[str, tuple[str, ...], float]] = {}

    def knows(self, desired: Mapping[str, Any], live: Mapping[str, Any], refused: tuple[str, ...]) -> bool:
        """Whether a takeover because of these causes did not help before."""
        known, causes, at = self._last.get(live["metadata"]["uid"], ("", (), 0.0))
        return (known, causes) == (digest_of(desired), refused) and self._clock() - at < _FUTILE_SECONDS

    def record(self, desired: Mapping[str, Any], live: Mapping[str, Any], refused: tuple[str, ...]) -> None:
        """Record one that did not help. Above a limit, the oldest record is dropped."""
        self._last[live["metadata"]["uid"]] = (digest_of(desired), refused, self._clock())
        if len(self._last) > _MAX_FUTILE:
            del self._last[next(iter(self._last))]


async def overwrite(
    cluster: Cluster,
    resource: Resource,
    desired: Mapping[str, Any],
    live: dict[str, Any],
    *,
    futile: FutileTakeovers,
) -> dict[str, Any]:
    """Apply the desired object over the live one, and return the resulting object.

    Raises:
        ConflictError: the live object has changed since it was read.
        KubeError: the API server refuses it for another reason than fields of others; they are left as they are.
    """
    live = await _take_over(cluster, resource, live, list(intruders(desired, live))) or live
    try:
        return await cluster.apply(resource, for_version(desired, live), manager=MANAGER)
    except RejectedError as error:
        refused = error.fields
        taken = None
        if error.reason == "Invalid" and not futile.knows(desired, live, refused):
            found = obstacles(desired, live, refused=refused)
            of_others = [each for each in found if is_owned_by_others(live, each.steps, manager=MANAGER)]
            taken = await _take_over(cluster, resource, live, of_others)
        if taken is None:
            raise
    try:
        return await _apply_over(cluster, resource, desired, taken)
    except RejectedError as error:
        if error.reason == "Invalid" and error.fields == refused:  # they were not the reason, and are given back
            futile.record(desired, live, refused)
            with contextlib.suppress(KubeError):
                await _give_back(cluster, resource, live, taken)
        raise


async def _give_back(
    cluster: Cluster, resource: Resource, live: Mapping[str, Any], taken: Mapping[str, Any]
) -> None:
    """Make the owners of before the owners again, unless somebody has changed more than the status since then."""
    metadata = taken["metadata"]
    fresh = await cluster.get(resource, namespace=metadata["namespace"], name=metadata["name"])
    if fresh is None or fresh["metadata"]["uid"] != metadata["uid"]:
        return
    (now, of_status), (then, _), (before, _) = _managers(fresh), _managers(taken), _managers(live)
    if now == then:
        await cluster.set_managed_fields(resource, fresh, [*before, *of_status])


def _managers(live: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return the managed fields of an object itself, and those of its status."""
    managers = live["metadata"].get("managedFields") or []
    of_status = [each for each in managers if each.get("subresource") == "status"]
    return [each for each in managers if each.get("subresource") != "status"], of_status


async def _apply_over(
    cluster: Cluster, resource: Resource, desired: Mapping[str, Any], taken: Mapping[str, Any]
) -> dict[str, Any]:
    """Apply the desired object after a takeover, which must not stay without its write.

    A change of the status in between is no reason to give up, unlike one of the owner.
    """
    try:
        return await cluster.apply(resource, for_version(desired, taken), manager=MANAGER)
    except ConflictError:
        metadata = taken["metadata"]
        fresh = await cluster.get(resource, namespace=metadata["namespace"], name=metadata["name"])
        same = ("uid", "ownerReferences", "deletionTimestamp")
        if fresh is None or any(fresh["metadata"].get(key) != metadata.get(key) for key in same):
            raise
        return await cluster.apply(resource, for_version(desired, fresh), manager=MANAGER)


async def _take_over(
    cluster: Cluster, resource: Resource, live: Mapping[str, Any], found: Sequence[Intruder]
) -> dict[str, Any] | None:
    """Make our manager the owner of fields that we do not want; None if there are none, or if it is already."""
    owners = transferred(live, [each.steps for each in found], manager=MANAGER) if found else None
    if owners is None:
        return None
    taken = await cluster.set_managed_fields(resource, live, owners)
    metadata, paths = live["metadata"], ", ".join(each.path for each in found)
    logger.info("Took over %s %s/%s: %s", resource.kind, metadata["namespace"], metadata["name"], paths)
    return taken
