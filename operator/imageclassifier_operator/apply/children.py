"""Brings one ImageClassifier's children into the wanted shape; one bad child never blocks another."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api import KIND
from imageclassifier_operator.apply.difference import Difference, differences
from imageclassifier_operator.apply.handover import REPLICAS_MANAGER, created, handover
from imageclassifier_operator.kube import (
    AUTOSCALERS,
    DEPLOYMENTS,
    SERVICE_ACCOUNTS,
    SERVICE_MONITORS,
    SERVICES,
    Cluster,
    ConflictError,
    KubeError,
    NotFoundError,
    Resource,
    UnreachableError,
    resource_of,
)
from imageclassifier_operator.naming import child_name
from imageclassifier_operator.status import OverriddenField, Problem, sentence_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imageclassifier_operator.api import ImageClassifier
    from imageclassifier_operator.apply.overrides import Overrides
    from imageclassifier_operator.manifests import Capabilities

MANAGER = "imageclassifier-operator"

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Applied:
    """The live children by kind after the pass, what went wrong, and whether another pass is due at once.

    `retry_after` are the seconds until an overridden field is applied again, None where none is overridden.
    """

    live: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    overridden: list[OverriddenField] = field(default_factory=list)
    again: bool = False
    retry_after: float | None = None


async def apply_children(
    cluster: Cluster,
    ic: ImageClassifier,
    wanted: Sequence[Mapping[str, Any]],
    *,
    capabilities: Capabilities,
    overrides: Overrides,
) -> Applied:
    """Prune what is no longer wanted, then apply what differs, in the order given.

    Pruning goes first, so that an autoscaler that is switched off does not fight for the count meanwhile.

    Raises:
        UnreachableError: the API server did not answer; the whole pass is to be done again.
    """
    applied = Applied()
    by_kind = {manifest["kind"]: manifest for manifest in wanted}
    for resource in _child_resources(capabilities):
        if resource.kind not in by_kind:
            await _guarded(applied, resource.kind, _prune(cluster, ic, resource))
    for manifest in wanted:
        if manifest["kind"] == SERVICE_MONITORS.kind and not capabilities.service_monitors:
            continue  # a condition says so; it is made once the API is there
        await _guarded(applied, manifest["kind"], _bring(cluster, ic, manifest, applied, overrides))
    return applied


def _child_resources(capabilities: Capabilities) -> list[Resource]:
    resources = [AUTOSCALERS, SERVICES, DEPLOYMENTS, SERVICE_ACCOUNTS]
    return [*resources, SERVICE_MONITORS] if capabilities.service_monitors else resources


async def _guarded(applied: Applied, kind: str, step: Any) -> None:
    try:
        await step
    except UnreachableError as error:
        if not _by_webhook(error):
            raise
        applied.problems.append(Problem(kind=kind, reason="WebhookFailed", message=error.message, passing=True))
    except ConflictError as error:
        logger.info("Object changed while it was written, another pass follows: %s", error.message)
        applied.again = True
    except NotFoundError as error:
        applied.problems.append(Problem(kind=kind, reason="NotFound", message=f"{kind}: {error.message}"))
    except KubeError as error:
        reason = error.reason or "Rejected"
        applied.problems.append(Problem(kind=kind, reason=reason, message=f"{kind}: {error.message}"))


def _by_webhook(error: KubeError) -> bool:
    """Say whether the API server answered, but could not ask a webhook: that stops one child, not the others."""
    return error.status == 500 and "webhook" in error.message


async def _prune(cluster: Cluster, ic: ImageClassifier, resource: Resource) -> None:
    name = child_name(ic.name)
    live = await cluster.get(resource, namespace=ic.namespace, name=name)
    if live is None or not _controlled(live, ic.uid):
        return
    if live["metadata"].get("deletionTimestamp") is None:
        logger.info("Deleted a %s that is no longer wanted: %s/%s", resource.kind, ic.namespace, name)
        await cluster.delete(resource, namespace=ic.namespace, name=name, uid=live["metadata"]["uid"])


async def _bring(
    cluster: Cluster, ic: ImageClassifier, wanted: Mapping[str, Any], applied: Applied, overrides: Overrides
) -> None:
    resource, kind = resource_of(wanted), wanted["kind"]
    live = await cluster.get(resource, namespace=ic.namespace, name=wanted["metadata"]["name"])
    if live is None and resource == SERVICE_MONITORS and not await cluster.serves(resource):
        applied.problems.append(_crd_terminating(kind))
        return
    if live is None:
        logger.info("Created %s %s/%s", kind, ic.namespace, wanted["metadata"]["name"])
        body = created(wanted, ic.spec.autoscaling) if kind == DEPLOYMENTS.kind else wanted
        live = await cluster.apply(resource, body, manager=MANAGER)
        applied.again |= body != wanted
        _settle(applied, overrides, ic, body, live)
        return
    if not _controlled(live, ic.uid):
        applied.problems.append(_predecessors(live, ic, kind) or _name_conflict(live, kind))
        return
    if live["metadata"].get("deletionTimestamp") is not None:
        applied.problems.append(_terminating(live, kind))
        return
    if kind == DEPLOYMENTS.kind:
        taking = handover(live, ic.spec.autoscaling, manager=MANAGER)
        if taking is not None:
            await cluster.apply(resource, taking, manager=REPLICAS_MANAGER)
    found = list(differences(wanted, live, manager=MANAGER))
    pause = overrides.pause(_owner(ic), live, wanted, found)
    if found and pause:
        _note(applied, kind, live, found, pause)
        return
    if found:
        logger.info("Applied %s %s/%s: %s differed", kind, ic.namespace, wanted["metadata"]["name"], found[0].path)
        live = await cluster.apply(resource, _fenced(wanted, live), manager=MANAGER)
    _settle(applied, overrides, ic, wanted, live)


def _settle(
    applied: Applied,
    overrides: Overrides,
    ic: ImageClassifier,
    wanted: Mapping[str, Any],
    live: dict[str, Any],
) -> None:
    """Record the live child after a write, or where none was needed; what still differs is overridden."""
    left = list(differences(wanted, live, manager=MANAGER))
    news = overrides.record(_owner(ic), live, wanted, left)
    _note(applied, wanted["kind"], live, left, overrides.pause(_owner(ic), live, wanted, left))
    if news:
        sentences = "; ".join(sentence_of(field) for field in applied.overridden if field.kind == wanted["kind"])
        logger.warning("%s/%s: %s", ic.namespace, wanted["metadata"]["name"], sentences)


def _note(
    applied: Applied, kind: str, live: dict[str, Any], overridden: Sequence[Difference], pause: float
) -> None:
    applied.live[kind] = live
    applied.overridden.extend(
        OverriddenField(kind=kind, path=found.path, desired=found.desired, observed=found.observed)
        for found in overridden
    )
    if overridden:
        applied.retry_after = pause if applied.retry_after is None else min(pause, applied.retry_after)


def _owner(ic: ImageClassifier) -> tuple[str, str]:
    return ic.namespace, ic.name


def _fenced(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """Tie the write to the very object that was read: a successor of the same name is a conflict."""
    return {**wanted, "metadata": {**wanted["metadata"], "uid": live["metadata"]["uid"]}}


def _controlled(live: Mapping[str, Any], uid: str) -> bool:
    owners = live["metadata"].get("ownerReferences") or []
    return any(owner.get("controller") and owner.get("uid") == uid for owner in owners)


def _terminating(live: Mapping[str, Any], kind: str) -> Problem:
    """Its successor can be made only once it is gone, of which an event tells."""
    waits = ", ".join(live["metadata"].get("finalizers") or [])
    message = f"{kind} {live['metadata']['name']} is being deleted, it is made anew once it is gone"
    if waits:
        message += f"; that waits for its finalizers: {waits}"
    return Problem(kind=kind, reason="Terminating", message=message, passing=True)


def _crd_terminating(kind: str) -> Problem:
    """One made now, which the API server does let through, would hold up the CRD's deletion for a minute."""
    return Problem(kind=kind, reason="CRDTerminating", message=f"The CRD of {kind} is being deleted", passing=True)


def _predecessors(live: Mapping[str, Any], ic: ImageClassifier, kind: str) -> Problem | None:
    """What an object of the same name has left behind is on its way out: its owner is gone."""
    owners = live["metadata"].get("ownerReferences") or []
    if not any(o.get("controller") and (o["kind"], o["name"]) == (KIND, ic.name) for o in owners):
        return None
    message = (
        f"{kind} {live['metadata']['name']} belongs to a deleted ImageClassifier of the same name, "
        "it is made anew once the cluster has removed it"
    )
    return Problem(kind=kind, reason="Terminating", message=message, passing=True)


def _name_conflict(live: Mapping[str, Any], kind: str) -> Problem:
    owners = live["metadata"].get("ownerReferences") or []
    owner = next((f"{o['kind']} {o['name']}" for o in owners if o.get("controller")), "nobody")
    return Problem(
        kind=kind,
        reason="NameConflict",
        message=f"{kind} {live['metadata']['name']} exists already and is controlled by {owner}; "
        "delete it, or give the ImageClassifier another name",
    )
