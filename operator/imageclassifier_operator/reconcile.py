"""One reconcile of one ImageClassifier: applies its children, and writes its status."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api import GROUP, KIND, VERSION, InvalidSpecError, OperatorConfig, parse
from imageclassifier_operator.apply import (
    MANAGER,
    Applied,
    Overrides,
    apply_children,
    compare_children,
    difference,
    problem_of,
)
from imageclassifier_operator.children import CONDITIONS, DEPLOYMENT, build_all, unsupported_fields
from imageclassifier_operator.events import report, write_event
from imageclassifier_operator.kube import (
    CLASSIFIERS,
    CONTROLLER_REVISIONS,
    Cluster,
    ConflictError,
    KubeError,
    NotFoundError,
)
from imageclassifier_operator.manifests import Params
from imageclassifier_operator.observe import observe
from imageclassifier_operator.revisions import Decision, LeftoverError, Waves, record, report_state, resolve
from imageclassifier_operator.status import Problem, Revisions, compute, compute_invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imageclassifier_operator.manifests import Capabilities
    from imageclassifier_operator.status import Observation, Status

STATUS_MANAGER = f"{MANAGER}-status"
NOT_READY_SECONDS = 5.0
"""Time until an object that is not Ready is reconciled again: a failure in a pod may cause no watch event."""

PROBLEM_SECONDS = 30.0
"""Time until an object with a rejected child is reconciled again; the child usually requires user action."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a reconcile, and the seconds until the next one (None: only after an event or the resync).

    `again` requests another reconcile soon; the delay grows as long as each reconcile requests another one.
    """

    requeue_after: float | None
    result: str
    again: bool = False


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def reconcile(
    cluster: Cluster,
    *,
    namespace: str,
    name: str,
    config: OperatorConfig,
    capabilities: Capabilities,
    overrides: Overrides,
    waves: Waves,
    now: Callable[[], str] = _now,
) -> Outcome:
    """Apply the children, and write the status. Raises `KubeError` if the reconcile has to be retried."""
    live = await cluster.get(CLASSIFIERS, namespace=namespace, name=name)
    waves.withdraw((namespace, name))
    if live is None or live["metadata"].get("deletionTimestamp") is not None:
        overrides.forget((namespace, name))
        waves.forget((namespace, name))
        return Outcome(requeue_after=None, result="gone")
    uid = live["metadata"]["uid"]
    try:
        ic = parse(live, config=config)
    except InvalidSpecError as error:
        observed = await observe(
            cluster, namespace=namespace, name=name, uid=uid, capabilities=capabilities, live_children={}
        )
        invalid = compute_invalid(live, error.problems, observed, conditions=CONDITIONS, now=now())
        await _write_status(cluster, live, invalid)
        waves.report((namespace, name), upgrading=True, stalled=None, held=True)
        return Outcome(requeue_after=None, result="invalid")
    params = Params(ic=ic, config=config, capabilities=capabilities)
    decision, problem = await _accept_revision(cluster, params, live, waves=waves)
    if decision is not None:
        params = replace(params, template=decision.accepted.template)
    desired = build_all(params)
    if decision is None:  # its template is not known
        del desired[DEPLOYMENT]
    if ic.spec.paused:
        applied = await compare_children(cluster, ic, desired, capabilities=capabilities)
    else:
        applied = await apply_children(cluster, ic, desired, capabilities=capabilities, overrides=overrides)
    observed = await observe(
        cluster,
        namespace=namespace,
        name=name,
        uid=uid,
        capabilities=capabilities,
        live_children=applied.live_children,
        problems=[*([] if problem is None else [problem]), *applied.problems],
        overridden=applied.overridden,
        unsupported=unsupported_fields(params),
        not_applied=applied.not_applied,
        revisions=None if applied.again else _observed_revisions(decision, paused=ic.spec.paused),
    )
    status = compute(ic, observed, conditions=CONDITIONS, previous=live.get("status") or {}, now=now())
    await _write_status(cluster, live, status)
    if decision is None:
        waves.failed((namespace, name))
    elif not applied.again:
        report_state(waves, (namespace, name), decision, status, observed, spec=ic.spec)
    if decision is not None and not ic.spec.paused:
        await _report_template(cluster, live, decision, applied)
    return _outcome(applied, observed, status)


async def _accept_revision(
    cluster: Cluster, params: Params, live: Mapping[str, Any], *, waves: Waves
) -> tuple[Decision | None, Problem | None]:
    """Return the revision that the Deployment gets, stored as the accepted one unless the object is paused.

    If the revisions cannot be read or written, return the problem. The Deployment is then left as it is, so that
    no pod restarts.
    """
    key, paused = (params.ic.namespace, params.ic.name), params.spec.paused
    try:
        resolved = await resolve(
            cluster, params, live, turn=lambda: "spec.paused is true" if paused else waves.ask(key)
        )
        if not paused:
            await record(cluster, params, resolved, accepted=lambda: waves.accepted(key))
    except ConflictError:
        raise
    except LeftoverError as error:
        problem = Problem(
            kind=CONTROLLER_REVISIONS.kind, reason="Terminating", message=error.message, transient=True
        )
        return None, problem
    except KubeError as error:
        return None, problem_of(error, CONTROLLER_REVISIONS.kind)
    return resolved.decision, None


def _observed_revisions(decision: Decision | None, *, paused: bool) -> Revisions | None:
    """Return what the status says about the revisions: of a paused object, what is stored already."""
    if decision is None or not paused:
        return None if decision is None else decision.observed
    if decision.before is not None:
        return Revisions(accepted=decision.before.name, candidate=decision.accepted.name)
    return None if decision.accepted.uid is None else decision.observed


async def _report_template(
    cluster: Cluster, live: Mapping[str, Any], decision: Decision, applied: Applied
) -> None:
    """Write an Event if another revision was accepted, or if a foreign change of the template was reverted."""
    if decision.before is not None:
        await write_event(cluster, live, reason="RevisionAccepted", message=decision.message, warning=False)
    elif applied.reverted_by is not None:
        message = (
            f"The pod template of the Deployment, changed by {applied.reverted_by}, is set back to revision "
            f"{decision.accepted.name}; change the spec of the ImageClassifier instead, or apply an earlier one"
        )
        await write_event(cluster, live, reason="PodTemplateReverted", message=message, warning=True)


def _outcome(applied: Applied, observed: Observation, status: Status) -> Outcome:
    if applied.again:
        return Outcome(requeue_after=None, result="again", again=True)
    if any(not problem.transient for problem in observed.problems):
        return Outcome(requeue_after=PROBLEM_SECONDS, result="refused")
    if observed.not_applied:  # paused: nothing will change by itself
        return Outcome(requeue_after=PROBLEM_SECONDS, result="paused")
    if status.ready and not observed.problems:
        return Outcome(requeue_after=applied.retry_after, result="ready")
    return Outcome(requeue_after=NOT_READY_SECONDS, result="waiting")


async def _write_status(cluster: Cluster, live: Mapping[str, Any], status: Status) -> None:
    """Apply the status if it differs from the live one, and write an Event if Ready changed status or reason."""
    if difference({"status": status.fields}, live, manager=STATUS_MANAGER, subresource="status") is None:
        return
    metadata = {key: live["metadata"][key] for key in ("name", "namespace", "uid")}
    body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": metadata, "status": status.fields}
    try:
        await cluster.apply(CLASSIFIERS, body, manager=STATUS_MANAGER, subresource="status")
    except (NotFoundError, ConflictError):
        logger.info("ImageClassifier %s/%s was deleted during reconcile", metadata["namespace"], metadata["name"])
        return
    previous = live.get("status") or {}
    await report(cluster, live, before=previous.get("conditions") or [], after=status.conditions)
