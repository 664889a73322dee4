"""Live reads of what the status of one ImageClassifier is computed from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageclassifier_operator.children import CHILDREN, DEPLOYMENT
from imageclassifier_operator.kube import PODS, REPLICA_SETS, Cluster, ForbiddenError
from imageclassifier_operator.labels import selector_text
from imageclassifier_operator.naming import child_name
from imageclassifier_operator.status import Observation, OverriddenField, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from imageclassifier_operator.manifests import Capabilities


async def observe(
    cluster: Cluster,
    *,
    namespace: str,
    name: str,
    uid: str,
    capabilities: Capabilities,
    live: Mapping[str, Mapping[str, Any]],
    problems: Sequence[Problem] = (),
    overridden: Sequence[OverriddenField] = (),
) -> Observation:
    """Return the observed state; children that the caller has just read are taken from `live`, by kind."""
    deployment = live.get(DEPLOYMENT.kind)
    if deployment is None:
        found = await cluster.get(DEPLOYMENT.resource, namespace=namespace, name=child_name(name))
        deployment = found if found is not None and _owned_by(found, uid) else None
    replica_sets: Sequence[Mapping[str, Any]] = ()
    pods: Sequence[Mapping[str, Any]] = ()
    if deployment is not None:
        selector = selector_text(name)
        try:
            listing = await cluster.list(REPLICA_SETS, namespace=namespace, selector=selector)
            replica_sets = [item for item in listing.items if _owned_by(item, deployment["metadata"]["uid"])]
            pods = (await cluster.list(PODS, namespace=namespace, selector=selector)).items
        except ForbiddenError as error:  # otherwise the status would stay that of an older generation
            problem = Problem(kind=PODS.kind, reason="Forbidden", message=f"Pods: {error.message}")
            problems = [*problems, problem]
    return Observation(
        deployment=deployment,
        replica_sets=replica_sets,
        pods=pods,
        children=live,
        unserved={child.kind for child in CHILDREN if not child.served(capabilities)},
        problems=problems,
        overridden=overridden,
    )


def _owned_by(live: Mapping[str, Any], uid: str) -> bool:
    return any(owner["uid"] == uid for owner in live["metadata"].get("ownerReferences") or [])
