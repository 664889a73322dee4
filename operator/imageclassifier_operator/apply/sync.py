"""Applies the children of one ImageClassifier; a child that cannot be applied does not block the others."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.apply.difference import Difference, differences, template_changed_by
from imageclassifier_operator.apply.external_autoscaler import external_autoscaler, without_replicas
from imageclassifier_operator.apply.handover import (
    REPLICAS_MANAGER,
    deployment_to_create,
    handover,
    handover_to_others,
)
from imageclassifier_operator.apply.overwrite import overwrite
from imageclassifier_operator.apply.preconditions import check_owner
from imageclassifier_operator.children import AUTOSCALER, CHILDREN, DEPLOYMENT
from imageclassifier_operator.kube import (
    Cluster,
    ConflictError,
    KubeError,
    NotFoundError,
    UnreachableError,
)
from imageclassifier_operator.naming import child_name
from imageclassifier_operator.ownership import (
    MANAGER,
    belongs_to,
    foreign_problem,
    is_controlled_by,
    terminating_problem,
)
from imageclassifier_operator.status import (
    ContestedField,
    OverriddenField,
    Problem,
    format_value,
    override_message,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from imageclassifier_operator.api import ImageClassifier
    from imageclassifier_operator.apply.write_history import WriteHistory
    from imageclassifier_operator.children import Child
    from imageclassifier_operator.kube import Resource
    from imageclassifier_operator.manifests import Capabilities

_FIELD_MANAGERS = frozenset({MANAGER, REPLICAS_MANAGER})
_CONFLICT_REMEDY = (
    "another client changes it all the time, or a webhook rejects the write: "
    "kubectl get with --show-managed-fields -o yaml shows who"
)
_SHOWN = re.compile(r"ontainers\.[^.]+\.(image|resources\.(limits|requests)\.[a-z-]+)$")
"""The paths whose values the status of a paused object shows, besides numbers."""

_REQUIRED = frozenset(child.kind for child in CHILDREN if child.condition is None)

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Applied:
    """The result of `apply_children`: the live children by kind, and what went wrong.

    live_children: without spec.autoscaling, the HorizontalPodAutoscaler is somebody else's that is used instead.
    not_applied: what differs, if the object is paused; then nothing is written.
    reverted_by: the field manager whose change of the pod template was reverted, or None.
    again: whether the children have to be applied again soon.
    conflicted: whether that is because a child had changed since it was read. Its live state is then not known.
    waiting: the kinds of the children whose write was a conflict, or has to wait since somebody sets it back.
    owner_exists: whether it was read again, before the first child was created.
    withheld: whether a contested field of a child without a condition differs, or was written a moment ago.
    retry_after: the seconds until an overridden or contested field is looked at again, or None if there is none.
    """

    live_children: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    overridden: list[OverriddenField] = field(default_factory=list)
    contested: list[ContestedField] = field(default_factory=list)
    not_applied: list[str] = field(default_factory=list)
    reverted_by: str | None = None
    again: bool = False
    conflicted: bool = False
    waiting: set[str] = field(default_factory=set)
    owner_exists: bool = False
    withheld: bool = False
    retry_after: float | None = None

    def wait_at_most(self, seconds: float) -> None:
        """Lower the time until the next look to that many seconds."""
        self.retry_after = seconds if self.retry_after is None else min(seconds, self.retry_after)


async def apply_children(
    cluster: Cluster,
    ic: ImageClassifier,
    desired: Mapping[Child, Mapping[str, Any]],
    *,
    capabilities: Capabilities,
    history: WriteHistory,
) -> Applied:
    """Prune the children that are not desired, then apply those that differ, both in the order of `CHILDREN`.

    Pruning goes first, so that an autoscaler that is switched off cannot change the replicas once more.

    Raises:
        OwnerDeletedError: the ImageClassifier is being deleted.
        UnreachableError: the API server did not answer; all children have to be applied again.
    """
    applied = Applied()
    for child in CHILDREN:
        if child.optional and child not in desired and child.served(capabilities):
            prune = _prune(cluster, ic, child.resource)
            await _write_step(applied, child, prune, owner=_owner(ic), history=history)
    if applied.conflicted:
        return applied
    for child, manifest in desired.items():
        if child.served(capabilities):  # otherwise, its condition reports it, and it is created once it is served
            step = _apply_child(cluster, ic, child, manifest, applied, history)
            await _write_step(applied, child, step, owner=_owner(ic), history=history)
    applied.contested = history.contests.contested(_owner(ic))
    left = history.contests.seconds_left(_owner(ic))
    if left is not None:
        applied.wait_at_most(left)
    unsettled = history.contests.unsettled(_owner(ic), _REQUIRED)
    if unsettled:
        applied.withheld = True
        applied.wait_at_most(unsettled)
    return applied


async def compare_children(
    cluster: Cluster,
    ic: ImageClassifier,
    desired: Mapping[Child, Mapping[str, Any]],
    *,
    capabilities: Capabilities,
) -> Applied:
    """Return what `apply_children` would change, without a write."""
    applied = Applied()
    for child in CHILDREN:
        if child.served(capabilities) and (child in desired or child.optional):
            await _run_step(applied, child, _compare_child(cluster, ic, child, desired.get(child), applied))
    return applied


async def _compare_child(
    cluster: Cluster, ic: ImageClassifier, child: Child, desired: Mapping[str, Any] | None, applied: Applied
) -> Problem | None:
    kind, name = child.kind, child_name(ic.name)
    live = await cluster.get(child.resource, namespace=ic.namespace, name=name)
    if live is not None and not belongs_to(live, name=ic.name, uid=ic.uid):
        return None if desired is None else foreign_problem(live, ic, kind)
    if live is not None:
        applied.live_children[kind] = live
    if live is None or desired is None:
        if desired is not None:
            applied.not_applied.append(f"{kind} {name} is missing")
        elif live is not None:
            applied.not_applied.append(f"{kind} {name} is no longer requested")
        return None
    desired = await _without_foreign_replicas(cluster, ic, child, desired, live, applied)
    found = next(differences(desired, live, manager=MANAGER), None)
    if found is not None:
        applied.not_applied.append(f"{kind} {name}: {_change(found)}")
    return None


def _change(found: Difference) -> str:
    """Return a field that differs, for people.

    It has the values only if they cannot be secret: a variable may have credentials, or a URL with a signature.
    """
    if found.desired is None and found.observed is None:
        return f"{found.path} is no longer requested"
    values = [value for value in (found.observed, found.desired) if value is not None]
    are_numbers = all(isinstance(value, int) for value in values)
    are_shown = _SHOWN.search(found.path) and all(isinstance(value, str) for value in values)
    if not (are_numbers or are_shown):
        return f"{found.path} differs"
    return f"{found.path} from {format_value(found.observed)} to {format_value(found.desired)}"


async def _write_step(
    applied: Applied,
    child: Child,
    step: Awaitable[Problem | None],
    *,
    owner: tuple[str, str],
    history: WriteHistory,
) -> None:
    """Run a step that writes. A conflict is a problem only if it does not pass."""

    async def settled() -> Problem | None:
        try:
            problem = await step
        except ConflictError as error:
            if history.conflicts.record(owner, child.kind):
                return conflict_problem(error, child.kind)
            logger.info("Object changed during the write, retrying: %s", error.message)
            applied.again = applied.conflicted = True
            applied.waiting.add(child.kind)
            return None
        history.conflicts.clear(owner, child.kind)
        return problem

    await _run_step(applied, child, settled())


async def _run_step(applied: Applied, child: Child, step: Awaitable[Problem | None]) -> None:
    """Wait until one child is applied or pruned, and record a failure as a problem instead of raising it."""
    try:
        problem = await step
    except KubeError as error:
        problem = problem_of(error, child.kind)
    if problem is not None:
        applied.problems.append(replace(problem, has_condition=child.condition is not None))


def problem_of(error: KubeError, kind: str) -> Problem:
    """Return the problem of an object of this kind because of a failed request.

    Raises:
        KubeError: the same error, if it is not about this object: the API server did not respond.
    """
    if isinstance(error, UnreachableError):
        if _is_webhook_failure(error):
            return Problem(kind=kind, reason="WebhookFailed", message=error.message, transient=True)
        if _is_rejected_patch(error):
            return Problem(kind=kind, reason="Rejected", message=f"{kind}: {error.message}")
        raise error
    reason = "NotFound" if isinstance(error, NotFoundError) else error.reason or "Rejected"
    return Problem(kind=kind, reason=reason, message=f"{kind}: {error.message}")


def conflict_problem(error: ConflictError, kind: str) -> Problem:
    """Return the problem of an object that cannot be written, because it changes each time after it was read."""
    message = f"{kind}: {error.message}; {_CONFLICT_REMEDY}"
    return Problem(kind=kind, reason="Conflict", message=message, transient=True)


def _is_webhook_failure(error: KubeError) -> bool:
    """Whether the API server answered, but could not call a webhook. That affects only one child."""
    return error.status == 500 and "webhook" in error.message


def _is_rejected_patch(error: KubeError) -> bool:
    """Whether the API server rejects what is applied, but with the status 500. A retry would change nothing."""
    causes = ("failed to create typed patch object", "request is too large")
    return error.status == 500 and any(cause in error.message for cause in causes)


async def _prune(cluster: Cluster, ic: ImageClassifier, resource: Resource) -> None:
    name = child_name(ic.name)
    live = await cluster.get(resource, namespace=ic.namespace, name=name)
    if live is None or not is_controlled_by(live, ic.uid):  # an orphan may have been detached on purpose
        return
    if live["metadata"].get("deletionTimestamp") is None:
        logger.info("Deleting %s %s/%s: no longer requested", resource.kind, ic.namespace, name)
        await cluster.delete(resource, live)


async def _apply_child(
    cluster: Cluster,
    ic: ImageClassifier,
    child: Child,
    desired: Mapping[str, Any],
    applied: Applied,
    history: WriteHistory,
) -> Problem | None:
    """Apply one child if it differs, or return the problem because of which it must not be written."""
    resource, kind, name = child.resource, child.kind, desired["metadata"]["name"]
    live = await cluster.get(resource, namespace=ic.namespace, name=name)
    if live is None and child.capability is not None and not await cluster.serves(resource):
        return _crd_terminating_problem(kind)
    is_isolated = ic.spec.network_policy is not None
    no_policy = "NetworkPolicy" in {*applied.waiting, *(each.kind for each in applied.problems)}
    if live is None and child is DEPLOYMENT and is_isolated and no_policy:
        return None  # no pod starts without isolation; the problem of the NetworkPolicy is reported
    if live is None:
        if not applied.owner_exists:
            await check_owner(cluster, ic)
            applied.owner_exists = True
        body = deployment_to_create(desired, ic.spec.autoscaling) if child is DEPLOYMENT else desired
        live = await cluster.apply(resource, body, manager=MANAGER)
        logger.info("Created %s %s/%s", kind, ic.namespace, name)
        applied.again |= body != desired
        _record_overrides(applied, history, ic, body, live, list(differences(body, live, manager=MANAGER)))
        return None
    if not belongs_to(live, name=ic.name, uid=ic.uid):
        return foreign_problem(live, ic, kind)
    if live["metadata"].get("deletionTimestamp") is not None:
        return terminating_problem(live, kind)
    applied.live_children[kind] = live
    history.contests.expect(_owner(ic), desired)
    adopted = not is_controlled_by(live, ic.uid)
    if adopted:
        await check_owner(cluster, ic)
    desired = await _without_foreign_replicas(cluster, ic, child, desired, live, applied)
    if child is DEPLOYMENT:
        live = await _hand_over_replicas(cluster, ic, desired, live, applied, history)
    found = list(differences(desired, live, manager=MANAGER))
    pause = history.overrides.pause(_owner(ic), live, desired, found)
    if found and pause:
        _report_child(applied, kind, live, found, pause)
        return None
    pause = history.contests.pause(_owner(ic), kind, history.overrides.others(_owner(ic), live, desired, found))
    if pause:
        applied.wait_at_most(pause)
        applied.withheld |= child.condition is None
        applied.waiting.add(kind)
        return None
    remaining = found
    if found:
        reverted_by = template_changed_by(live, found, manager=MANAGER) if child is DEPLOYMENT else None
        before, live = live, await overwrite(cluster, resource, desired, live, futile=history.futile)
        remaining = list(differences(desired, live, manager=MANAGER))
        overridden = {each.path for each in remaining}
        written = [each for each in found if each.path not in overridden]
        history.contests.record(_owner(ic), before, written, ours=_FIELD_MANAGERS)
        applied.reverted_by = reverted_by or applied.reverted_by
        if adopted:
            logger.info("Adopted %s %s/%s, which had no controller", kind, ic.namespace, name)
        logger.info("Applied %s %s/%s: %s differed", kind, ic.namespace, name, found[0].path)
    _record_overrides(applied, history, ic, desired, live, remaining)
    return None


async def _without_foreign_replicas(
    cluster: Cluster,
    ic: ImageClassifier,
    child: Child,
    desired: Mapping[str, Any],
    live: Mapping[str, Any],
    applied: Applied,
) -> Mapping[str, Any]:
    """Return the Deployment without its replicas if somebody else's autoscaler, which is reported, sets them."""
    found = await external_autoscaler(cluster, ic, desired, live) if child is DEPLOYMENT else None
    if found is None:
        return desired
    applied.live_children[AUTOSCALER.kind] = found
    return without_replicas(desired)


async def _hand_over_replicas(
    cluster: Cluster,
    ic: ImageClassifier,
    desired: Mapping[str, Any],
    live: dict[str, Any],
    applied: Applied,
    history: WriteHistory,
) -> dict[str, Any]:
    """Let the second manager set the replicas before an autoscaler does, and after somebody set them to 0.

    Return the Deployment as it is then.
    """
    if ic.spec.autoscaling is not None:
        takeover = handover(live, ic.spec.autoscaling, manager=MANAGER)
    elif "replicas" not in desired["spec"]:
        takeover = handover_to_others(live, manager=MANAGER)
    else:
        return live
    if takeover is None:
        return live
    count, before = takeover["spec"]["replicas"], live["spec"].get("replicas", 1)
    changed = [] if before == count else [Difference(path="spec.replicas", desired=count, observed=before)]
    pause = history.contests.pause(_owner(ic), DEPLOYMENT.kind, changed)
    if pause:
        applied.wait_at_most(pause)
        applied.withheld = True
        return live
    result = await cluster.apply(DEPLOYMENT.resource, takeover, manager=REPLICAS_MANAGER)
    history.contests.record(_owner(ic), live, changed, ours=_FIELD_MANAGERS)
    return result


def _record_overrides(
    applied: Applied,
    history: WriteHistory,
    ic: ImageClassifier,
    desired: Mapping[str, Any],
    live: dict[str, Any],
    remaining: Sequence[Difference],
) -> None:
    """Record a live child that was just written, or needs no write. Fields that still differ are overridden."""
    kind = desired["kind"]
    is_new = history.overrides.record(_owner(ic), live, desired, remaining)
    _report_child(applied, kind, live, remaining, history.overrides.pause(_owner(ic), live, desired, remaining))
    if is_new:
        messages = "; ".join(override_message(field) for field in applied.overridden if field.kind == kind)
        logger.warning("%s/%s: %s", ic.namespace, desired["metadata"]["name"], messages)


def _report_child(
    applied: Applied, kind: str, live: dict[str, Any], overridden: Sequence[Difference], pause: float
) -> None:
    applied.live_children[kind] = live
    applied.overridden.extend(
        OverriddenField(kind=kind, path=each.path, desired=each.desired, observed=each.observed)
        for each in overridden
    )
    if overridden:
        applied.wait_at_most(pause)


def _owner(ic: ImageClassifier) -> tuple[str, str]:
    return ic.namespace, ic.name


def _crd_terminating_problem(kind: str) -> Problem:
    """Return the problem of a child whose CRD is being deleted.

    The API server would still accept the child, but that would delay the deletion of the CRD by a minute.
    """
    message = f"The CRD of {kind} is being deleted"
    return Problem(kind=kind, reason="CRDTerminating", message=message, transient=True)
