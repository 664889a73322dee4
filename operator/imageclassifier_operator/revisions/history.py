"""Reads and writes the ControllerRevisions of one ImageClassifier, and resolves which one its Deployment gets."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api import InvalidSpecError, parse
from imageclassifier_operator.apply import check_owner, difference, for_version
from imageclassifier_operator.children import DEPLOYMENT
from imageclassifier_operator.kube import CONTROLLER_REVISIONS, ConflictError, KubeError, RejectedError
from imageclassifier_operator.labels import selector_text
from imageclassifier_operator.manifests.deployment import pod_template
from imageclassifier_operator.naming import child_name
from imageclassifier_operator.ownership import MANAGER, belongs_to, is_controlled_by
from imageclassifier_operator.revisions.decision import Decision, Situation, decide, latest
from imageclassifier_operator.revisions.revision import ADOPT_ANNOTATION, Cause, Revision
from imageclassifier_operator.revisions.takeover import template_in_use

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from imageclassifier_operator.api import ImageClassifier
    from imageclassifier_operator.kube import Cluster
    from imageclassifier_operator.manifests import Params

KEPT = 5
"""How many revisions are kept, including the accepted one and the candidate."""

logger = logging.getLogger(__name__)


class LeftoverError(KubeError):
    """A revision has the name of one that belongs to a deleted ImageClassifier. This usually passes by itself."""


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """The decision, and the live ControllerRevisions that it was made from.

    leftover: the names of those that belong to a deleted ImageClassifier of the same name.
    """

    decision: Decision
    stored: Sequence[Mapping[str, Any]]
    leftover: Collection[str] = ()


async def resolve(
    cluster: Cluster, params: Params, live: Mapping[str, Any], *, turn: Callable[[], str | None]
) -> Resolved:
    """Return which revision the Deployment of a live ImageClassifier gets. Writes nothing."""
    ic, spec = params.ic, live.get("spec") or {}
    rendered = Revision.of(pod_template(params), owner=ic.name)
    found = await _revisions(cluster, live)
    stored = [item for item in found if belongs_to(item, name=ic.name, uid=ic.uid)]
    leftover = {item["metadata"]["name"] for item in found if _has_other_controller(item, ic.uid)}
    history = [Revision.stored(item) for item in stored]
    accepted = latest(history)
    status = live.get("status") or {}
    last_accepted = (status.get("revisions") or {}).get("accepted")
    if accepted is None or last_accepted not in {each.name for each in history}:
        # There were no revisions, somebody has deleted them, or an operator without revisions was in between.
        deployment = await own_deployment(cluster, ic)
        if deployment is not None:
            is_in_use = accepted is not None and (
                template_in_use(deployment, accepted.template) is accepted.template
            )  # then only its name in the status is missing
            if accepted is None or not is_in_use:
                accepted = replace(
                    Revision.of(template_in_use(deployment, rendered.template), owner=ic.name),
                    number=1 if accepted is None else accepted.number + 1,
                    cause=Cause.TAKEN_OVER,
                    spec=spec if _is_observed(live) else None,
                )
        elif accepted is None:
            created = replace(rendered, number=1, cause=Cause.CREATED, spec=spec)
            return Resolved(decision=Decision(accepted=created), stored=stored, leftover=leftover)
    situation = Situation(
        spec_changed=_spec_changed(accepted, rendered, params, live),
        was_ready=was_ready(accepted, live),
        ready=_is_ready(live),
        serves=status.get("readyReplicas", 0) > 0
        or (rendered.name != accepted.name and await _serves(cluster, ic)),
        manual=ic.spec.upgrade == "Manual",
        adopt=(live["metadata"].get("annotations") or {}).get(ADOPT_ANNOTATION),
        turn=turn,
    )
    decision = decide(accepted, rendered, history, situation)
    decision = replace(decision, accepted=replace(decision.accepted, spec=spec))
    return Resolved(decision=decision, stored=stored, leftover=leftover)


async def own_deployment(cluster: Cluster, ic: ImageClassifier) -> dict[str, Any] | None:
    """Return the live Deployment, or None if there is none that belongs to the ImageClassifier."""
    live = await cluster.get(DEPLOYMENT.resource, namespace=ic.namespace, name=child_name(ic.name))
    return live if live is not None and belongs_to(live, name=ic.name, uid=ic.uid) else None


async def _serves(cluster: Cluster, ic: ImageClassifier) -> bool:
    """Whether a replica is ready now: the status may be from before the operator was stopped."""
    deployment = await own_deployment(cluster, ic) or {}
    return bool((deployment.get("status") or {}).get("readyReplicas", 0) > 0)


async def last_accepted(cluster: Cluster, live: Mapping[str, Any]) -> Revision | None:
    """Return the accepted revision of a live ImageClassifier, whose spec may be invalid.

    It is None if there is none, or if somebody has deleted the one that the status names.
    """
    found = await _revisions(cluster, live)
    uid, status = live["metadata"]["uid"], live.get("status") or {}
    accepted = latest([Revision.stored(item) for item in found if is_controlled_by(item, uid)])
    named = (status.get("revisions") or {}).get("accepted")
    return accepted if accepted is None or named in {None, accepted.name} else None


async def _revisions(cluster: Cluster, live: Mapping[str, Any]) -> list[dict[str, Any]]:
    metadata = live["metadata"]
    selector = selector_text(metadata["name"])
    return (await cluster.list(CONTROLLER_REVISIONS, namespace=metadata["namespace"], selector=selector)).items


async def record(
    cluster: Cluster, params: Params, resolved: Resolved, *, accepted: Callable[[], None] = lambda: None
) -> None:
    """Store the accepted revision and the candidate if they differ from the stored ones, and delete the oldest.

    It is called before the Deployment gets its template. If the process stops in between, the next reconcile finds
    the revision accepted, and applies it. `accepted` is called once the accepted revision is stored.

    Raises:
        ConflictError: a revision has changed since it was read.
        LeftoverError: the cluster has not deleted the revisions of a deleted ImageClassifier of the same name yet.
        OwnerDeletedError: the ImageClassifier is being deleted.
    """
    decision, ic = resolved.decision, params.ic
    live_by_name = {item["metadata"]["name"]: item for item in resolved.stored}
    needed = list(filter(None, (decision.before, decision.accepted, decision.candidate)))
    stored = [Revision.stored(item) for item in resolved.stored]
    surplus = _surplus(decision, stored)
    kept = {*surplus, *(each.name for each in needed)}
    orphans = [
        each for each in stored if each.name not in kept and not is_controlled_by(live_by_name[each.name], ic.uid)
    ]
    leftover = next((each.name for each in needed if each.name in resolved.leftover), None)
    if leftover is not None:
        raise LeftoverError(f"ControllerRevision {leftover} of a deleted ImageClassifier still exists")
    bodies = {
        revision.name: body
        for revision in (*needed, *orphans)
        if (body := _body_to_apply(revision.manifest(ic), live_by_name.get(revision.name))) is not None
    }
    if bodies:
        await check_owner(cluster, ic)
    for name, body in bodies.items():
        try:
            await cluster.apply(CONTROLLER_REVISIONS, body, manager=MANAGER)
        except RejectedError as error:
            if decision.candidate is None or name != decision.candidate.name:
                raise
            logger.warning("Failed to store a candidate: %s", error.message)
        if name == decision.accepted.name:
            accepted()
    for name in surplus:
        with contextlib.suppress(ConflictError):  # the next reconcile deletes it, if it is still one
            await cluster.delete(CONTROLLER_REVISIONS, live_by_name[name])


def _body_to_apply(manifest: Mapping[str, Any], live: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return what has to be applied, or None if nothing differs."""
    if live is None:
        return manifest
    return None if difference(manifest, live, manager=MANAGER) is None else for_version(manifest, live)


def _has_other_controller(item: Mapping[str, Any], uid: str) -> bool:
    owners = item["metadata"].get("ownerReferences") or []
    return any(owner.get("controller") and owner.get("uid") != uid for owner in owners)


def was_ready(accepted: Revision, live: Mapping[str, Any]) -> bool:
    """Whether an ImageClassifier was ever Ready with its accepted revision.

    The status has the name of the revision that was Ready last. Before there were revisions, nothing says so; then
    a revision that has a ready replica counts as one that was Ready, so that a working fleet is not touched.
    """
    status = live.get("status") or {}
    last_ready = (status.get("revisions") or {}).get("ready")
    if accepted.cause is Cause.TAKEN_OVER or (last_ready is None and accepted.cause is not Cause.UPGRADED):
        return last_ready == accepted.name or status.get("readyReplicas", 0) > 0
    return bool(last_ready == accepted.name)


def _surplus(decision: Decision, stored: Sequence[Revision]) -> list[str]:
    """Return the names of the revisions to delete: candidates that are outdated, and all but the newest few."""
    needed = {each.name for each in (decision.accepted, decision.candidate) if each is not None}
    others = sorted((each for each in stored if each.name not in needed), key=lambda each: -each.number)
    kept = [each for each in others if each.number][: KEPT - len(needed)]
    return [each.name for each in others if each not in kept]


def _spec_changed(accepted: Revision, rendered: Revision, params: Params, live: Mapping[str, Any]) -> bool:
    """Whether the spec has changed since the last reconcile, in a way that changes the template.

    The present operator renders both specs. What differs then comes from the specs, and not from the operator.
    """
    spec = accepted.spec
    if spec is None:
        return not _is_observed(live)
    if spec == (live.get("spec") or {}):
        return False
    try:
        before = parse({**live, "spec": spec}, config=params.config)
    except InvalidSpecError:  # this operator does not accept the spec before, so the present one must differ
        return True
    return pod_template(replace(params, ic=before)) != rendered.template


def _is_observed(live: Mapping[str, Any]) -> bool:
    """Whether the status is about the present generation: the spec has not changed since it was written."""
    generation = live["metadata"].get("generation", 0)
    return bool((live.get("status") or {}).get("observedGeneration") == generation)


def _is_ready(live: Mapping[str, Any]) -> bool:
    conditions = (live.get("status") or {}).get("conditions") or []
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and _is_observed(live)
