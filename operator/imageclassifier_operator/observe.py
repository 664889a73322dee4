"""Reads the objects that the status of an ImageClassifier depends on: its Deployment, ReplicaSets and pods."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from imageclassifier_operator.children import CHILDREN, DEPLOYMENT
from imageclassifier_operator.kube import PODS, REPLICA_SETS, Cluster, ForbiddenError, KubeError
from imageclassifier_operator.labels import selector_text
from imageclassifier_operator.naming import child_name
from imageclassifier_operator.ownership import belongs_to
from imageclassifier_operator.status import Observation, OverriddenField, Problem, unexplained_pods

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from imageclassifier_operator.manifests import Capabilities
    from imageclassifier_operator.status import ContestedField, Revisions

_MAX_PODS_WITH_EVENTS = 2

logger = logging.getLogger(__name__)


async def observe(
    cluster: Cluster,
    *,
    namespace: str,
    name: str,
    uid: str,
    capabilities: Capabilities,
    live_children: Mapping[str, Mapping[str, Any]],
    problems: Sequence[Problem] = (),
    overridden: Sequence[OverriddenField] = (),
    contested: Sequence[ContestedField] = (),
    withheld: bool = False,
    unsupported: Mapping[str, str] | None = None,
    not_applied: Sequence[str] = (),
    revisions: Revisions | None = None,
    now: str = "",
) -> Observation:
    """Return the observed state.

    `live_children` are the children that the caller has read already, by kind. If the Deployment is not one of
    them, it is read here.
    """
    deployment = live_children.get(DEPLOYMENT.kind)
    if deployment is None:
        found = await cluster.get(DEPLOYMENT.resource, namespace=namespace, name=child_name(name))
        deployment = found if found is not None and belongs_to(found, name=name, uid=uid) else None
    replica_sets: Sequence[Mapping[str, Any]] = ()
    pods: Sequence[Mapping[str, Any]] = ()
    if deployment is not None:
        selector = selector_text(name)
        try:
            listing = await cluster.list(REPLICA_SETS, namespace=namespace, selector=selector)
            replica_sets = [item for item in listing.items if _is_owned_by(item, deployment["metadata"]["uid"])]
            pods = (await cluster.list(PODS, namespace=namespace, selector=selector)).items
        except ForbiddenError as error:
            # Report the error in the status. If it were raised, no status would be written.
            problem = Problem(kind=PODS.kind, reason="Forbidden", message=f"Pods: {error.message}")
            problems = [*problems, problem]
    observed = Observation(
        deployment=deployment,
        replica_sets=replica_sets,
        pods=pods,
        children=live_children,
        unserved={child.kind for child in CHILDREN if not child.served(capabilities)},
        problems=problems,
        overridden=overridden,
        contested=contested,
        withheld=withheld,
        unsupported=unsupported or {},
        not_applied=not_applied,
        revisions=revisions,
        now=now,
    )
    return replace(observed, warnings=await _warnings(cluster, namespace, observed))


async def _warnings(
    cluster: Cluster, namespace: str, observed: Observation
) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Return the Warning Events about pods that do not report why they are not ready, by UID.

    Few pods are enough, since the pods of one ReplicaSet usually fail for the same cause.
    """
    uids = [pod["metadata"]["uid"] for pod in unexplained_pods(observed)[:_MAX_PODS_WITH_EVENTS]]
    try:
        return {uid: (await cluster.warnings(namespace=namespace, uid=uid)).items for uid in uids}
    except KubeError as error:  # the status is written all the same
        logger.warning("Events of pods cannot be read, so the status may lack a cause: %s", error.message)
        return {}


def _is_owned_by(item: Mapping[str, Any], uid: str) -> bool:
    return any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences") or [])
