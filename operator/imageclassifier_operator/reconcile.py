"""One reconcile of one ImageClassifier: applies its children, and writes its status."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api import GROUP, KIND, VERSION, InvalidSpecError, OperatorConfig, parse
from imageclassifier_operator.apply import (
    Applied,
    OwnerDeletedError,
    WriteHistory,
    apply_children,
    compare_children,
    conflict_problem,
    difference,
    problem_of,
)
from imageclassifier_operator.children import AUTOSCALER, CONDITIONS, DEPLOYMENT, build_all, unsupported_fields
from imageclassifier_operator.events import report, write_event
from imageclassifier_operator.kube import (
    CLASSIFIERS,
    CONTROLLER_REVISIONS,
    Cluster,
    ConflictError,
    KubeError,
    NotFoundError,
)
from imageclassifier_operator.log_fields import set_generation
from imageclassifier_operator.manifests import Params
from imageclassifier_operator.object_metrics import ObjectFacts, object_facts
from imageclassifier_operator.observe import observe
from imageclassifier_operator.ownership import MANAGER
from imageclassifier_operator.revisions import (
    ADOPT_ANNOTATION,
    Decision,
    LeftoverError,
    Waves,
    count_acceptance,
    last_accepted,
    paced,
    record,
    report_state,
    resolve,
)
from imageclassifier_operator.status import Problem, Revisions, compute, compute_invalid, compute_terminating

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from imageclassifier_operator.manifests import Capabilities
    from imageclassifier_operator.status import Observation, Status

STATUS_MANAGER = f"{MANAGER}-status"
POLL_SECONDS = 5.0
"""Time until the first poll of an object that is not as desired: what changes that may cause no watch event."""

MAX_POLL_SECONDS = 60.0
"""Longest time between two polls of the same object."""

MAX_EVENTS_SECONDS = 15.0
"""The same while pods do not report why they are not ready: Events about them may, and are not watched."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pass:
    """A pass over the children of an object with a valid spec: what was read and applied.

    problems: of the children, and of the revisions.
    in_a_pause: whether the Deployment has the revision of a second operator until the pause is over.
    """

    live: Mapping[str, Any]
    params: Params
    decision: Decision | None
    applied: Applied
    problems: Sequence[Problem]
    in_a_pause: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a reconcile, and when the next one is due if there is no event before.

    requeue_after: the seconds until then.
    poll_after: the seconds until then for the first time; they grow up to longest_poll, as long as there is no
        event.
    again: requests another one soon; the delay grows as long as each reconcile requests another one.
    passed: what need not be read again until the object or a child changes; None if it has to be.
    facts: for the metrics of the object; None if it is gone.
    at_rest: whether nothing has to be done at all until then.
    """

    result: str
    requeue_after: float | None = None
    poll_after: float | None = None
    longest_poll: float = MAX_POLL_SECONDS
    again: bool = False
    passed: Pass | None = field(default=None, compare=False)
    facts: ObjectFacts | None = field(default=None, compare=False)
    at_rest: bool = False


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def reconcile(
    cluster: Cluster,
    *,
    namespace: str,
    name: str,
    config: OperatorConfig,
    capabilities: Capabilities,
    history: WriteHistory,
    waves: Waves,
    unchanged: Pass | None = None,
    now: Callable[[], str] = _now,
) -> Outcome:
    """Apply the children, and write the status. Raises `KubeError` if the reconcile has to be retried.

    unchanged: what was applied and read last time, if neither the object nor a child has changed since. Then only
        what is not watched is read.
    """
    try:
        passed = unchanged or await _apply(
            cluster,
            namespace=namespace,
            name=name,
            config=config,
            capabilities=capabilities,
            history=history,
            waves=waves,
            now=now,
        )
    except OwnerDeletedError:
        logger.info("ImageClassifier %s/%s was deleted during reconcile", namespace, name)
        return Outcome(result="again", again=True)
    if isinstance(passed, Pass) and passed.applied.conflicted:  # what is live now is not known
        return Outcome(result="again", again=True)
    return passed if isinstance(passed, Outcome) else await _report(cluster, passed, waves=waves, now=now())


async def _apply(
    cluster: Cluster,
    *,
    namespace: str,
    name: str,
    config: OperatorConfig,
    capabilities: Capabilities,
    history: WriteHistory,
    waves: Waves,
    now: Callable[[], str],
) -> Pass | Outcome:
    """Apply the children; of an object that is gone or invalid, write the status too, and return the outcome."""
    live = await cluster.get(CLASSIFIERS, namespace=namespace, name=name)
    set_generation(None if live is None else live["metadata"].get("generation"))
    waves.withdraw((namespace, name))
    if live is None or live["metadata"].get("deletionTimestamp") is not None:
        history.forget((namespace, name))
        waves.forget((namespace, name))
        if live is not None:
            await _report_deletion(cluster, live, capabilities=capabilities, now=now())
        return Outcome(result="gone")
    try:
        ic = parse(live, config=config)
    except InvalidSpecError as error:
        healed = await _apply_last_valid_spec(
            cluster, live, config=config, capabilities=capabilities, history=history
        )
        waves.report((namespace, name), upgrading=True, stalled=None, held=True)
        return await _report_invalid(cluster, live, error, healed, capabilities=capabilities, now=now())
    params = Params(ic=ic, config=config, capabilities=capabilities)
    accepted = await _accept_revision(cluster, params, live, waves=waves, history=history)
    decision, problem = accepted.decision, accepted.problem
    if decision is not None:
        params = replace(params, template=decision.accepted.template)
    desired = build_all(params)
    if decision is None:  # its template is not known
        del desired[DEPLOYMENT]
    if ic.spec.paused:
        applied = await compare_children(cluster, ic, desired, capabilities=capabilities)
    else:
        applied = await apply_children(cluster, ic, desired, capabilities=capabilities, history=history)
        if decision is not None:
            await _report_template(cluster, live, decision, applied)
    if accepted.pause:
        applied.wait_at_most(accepted.pause)
    problems = [*([] if problem is None else [problem]), *applied.problems]
    return Pass(
        live=live,
        params=params,
        decision=decision,
        applied=applied,
        problems=problems,
        in_a_pause=accepted.pause > 0,
    )


async def _report(cluster: Cluster, passed: Pass, *, waves: Waves, now: str) -> Outcome:
    """Observe the pods, and write the status."""
    live, ic, decision, applied = passed.live, passed.params.ic, passed.decision, passed.applied
    key = (ic.namespace, ic.name)
    observed = await observe(
        cluster,
        namespace=ic.namespace,
        name=ic.name,
        uid=ic.uid,
        capabilities=passed.params.capabilities,
        live_children=applied.live_children,
        problems=passed.problems,
        overridden=applied.overridden,
        contested=applied.contested,
        withheld=applied.withheld,
        unsupported=unsupported_fields(passed.params),
        not_applied=applied.not_applied,
        revisions=None if applied.again else _observed_revisions(decision, paused=ic.spec.paused),
        now=now,
    )
    status = compute(ic, observed, conditions=CONDITIONS, previous=live.get("status") or {}, now=observed.now)
    if not await _write_status(cluster, live, status):
        return Outcome(result="again", again=True)
    if decision is None:
        waves.failed(key)
    elif passed.in_a_pause:  # the other operator's revision says nothing about this one's upgrade
        waves.report(key, upgrading=True, held=True)
    elif not applied.again:
        report_state(waves, key, decision, status, observed, spec=ic.spec)
    return replace(_outcome(passed, observed, status), facts=_facts(status, observed))


def _facts(status: Status, observed: Observation) -> ObjectFacts:
    autoscaler = observed.children.get(AUTOSCALER.kind)
    return object_facts(status.fields, deployment=observed.deployment, autoscaler=autoscaler)


async def _apply_last_valid_spec(
    cluster: Cluster,
    live: Mapping[str, Any],
    *,
    config: OperatorConfig,
    capabilities: Capabilities,
    history: WriteHistory,
) -> Applied:
    """Apply the children of the last valid spec, so that an invalid spec does not end their repair.

    Nothing is applied if that spec is not known, or if it or the present one is paused.
    """
    try:
        accepted = await last_accepted(cluster, live)
    except KubeError as error:
        return Applied(problems=[problem_of(error, CONTROLLER_REVISIONS.kind)])
    if accepted is None or accepted.spec is None or (live.get("spec") or {}).get("paused") is True:
        return Applied()
    try:
        ic = parse({**live, "spec": accepted.spec}, config=config)
    except InvalidSpecError:  # it is valid for another configuration of the operator
        return Applied()
    if ic.spec.paused:
        return Applied()
    params = Params(ic=ic, config=config, capabilities=capabilities, template=accepted.template)
    return await apply_children(cluster, ic, build_all(params), capabilities=capabilities, history=history)


async def _report_invalid(
    cluster: Cluster,
    live: Mapping[str, Any],
    error: InvalidSpecError,
    healed: Applied,
    *,
    capabilities: Capabilities,
    now: str,
) -> Outcome:
    """Write the status of an object with an invalid spec, whose children are those of the last valid one."""
    observed = await _observe_without_spec(cluster, live, healed, capabilities=capabilities)
    messages = [*error.problems, *(problem.message for problem in healed.problems)]
    status = compute_invalid(live, messages, observed, conditions=CONDITIONS, now=now)
    await _write_status(cluster, live, status)
    return Outcome(
        result="invalid",
        facts=_facts(status, observed),
        requeue_after=healed.retry_after,
        poll_after=POLL_SECONDS if healed.problems else None,
        again=healed.again,
    )


async def _report_deletion(
    cluster: Cluster, live: Mapping[str, Any], *, capabilities: Capabilities, now: str
) -> None:
    """Write the status of an object that is being deleted, which something may hold for long."""
    observed = await _observe_without_spec(cluster, live, Applied(), capabilities=capabilities)
    status = compute_terminating(live, observed, conditions=CONDITIONS, now=now)
    await _write_status(cluster, live, status)


async def _observe_without_spec(
    cluster: Cluster, live: Mapping[str, Any], applied: Applied, *, capabilities: Capabilities
) -> Observation:
    metadata = live["metadata"]
    return await observe(
        cluster,
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        capabilities=capabilities,
        live_children=applied.live_children,
        contested=applied.contested,
    )


@dataclass(frozen=True, kw_only=True)
class _Accepted:
    """The decision about the revision, or the problem because of which there is none.

    pause: the seconds until the candidate is accepted, while another operator accepts another revision.
    """

    decision: Decision | None = None
    problem: Problem | None = None
    pause: float = 0.0


async def _accept_revision(
    cluster: Cluster, params: Params, live: Mapping[str, Any], *, waves: Waves, history: WriteHistory
) -> _Accepted:
    """Return the revision that the Deployment gets, stored as the accepted one unless the object is paused.

    If the revisions cannot be read or written, return the problem. The Deployment is then left as it is, so that
    no pod restarts.
    """
    key, paused = (params.ic.namespace, params.ic.name), params.spec.paused
    try:
        resolved = await resolve(
            cluster, params, live, turn=lambda: "spec.paused is true" if paused else waves.ask(key)
        )
        pause = 0.0
        if not paused:
            adopt = (live["metadata"].get("annotations") or {}).get(ADOPT_ANNOTATION)
            resolved, pause = paced(resolved, history.contests, key, uid=params.ic.uid, adopt=adopt)
            if pause:
                waves.give_back(key)
            decision = resolved.decision

            def accepted() -> None:
                waves.accepted(key)
                count_acceptance(decision, history.contests, key)

            await record(cluster, params, resolved, accepted=accepted)
    except ConflictError as error:
        if not history.conflicts.record(key, CONTROLLER_REVISIONS.kind):
            raise
        return _Accepted(problem=conflict_problem(error, CONTROLLER_REVISIONS.kind))
    except LeftoverError as error:
        problem = Problem(
            kind=CONTROLLER_REVISIONS.kind, reason="Terminating", message=error.message, transient=True
        )
        return _Accepted(problem=problem)
    except KubeError as error:
        return _Accepted(problem=problem_of(error, CONTROLLER_REVISIONS.kind))
    history.conflicts.clear(key, CONTROLLER_REVISIONS.kind)
    return _Accepted(decision=resolved.decision, pause=pause)


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


def _outcome(passed: Pass, observed: Observation, status: Status) -> Outcome:
    applied = passed.applied
    if applied.again:
        return Outcome(result="again", again=True)
    if any(not problem.transient for problem in observed.problems):
        return Outcome(result="refused", poll_after=POLL_SECONDS)
    if observed.not_applied:  # paused: nothing will change by itself
        return Outcome(result="paused", poll_after=POLL_SECONDS)
    # What else has an effect, but is not watched: admission policies, other writers, and the autoscaler of a user.
    has_own_autoscaler = passed.params.spec.autoscaling is not None or AUTOSCALER.kind not in applied.live_children
    watched = not observed.problems and applied.retry_after is None and has_own_autoscaler
    reusable = passed if watched else None
    if status.ready and not observed.problems:
        at_rest = watched and not observed.warnings and not status.progressing
        return Outcome(result="ready", requeue_after=applied.retry_after, passed=reusable, at_rest=at_rest)
    longest = MAX_EVENTS_SECONDS if observed.warnings else MAX_POLL_SECONDS
    return Outcome(result="waiting", poll_after=POLL_SECONDS, longest_poll=longest, passed=reusable)


async def _write_status(cluster: Cluster, live: Mapping[str, Any], status: Status) -> bool:
    """Apply the status if it differs from the live one, and write an Event if Ready changed status or reason.

    It is for the version that was read. Return False if the object has changed since; the change causes another
    reconcile.
    """
    if difference({"status": status.fields}, live, manager=STATUS_MANAGER, subresource="status") is None:
        return True
    metadata = {key: live["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion")}
    body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": metadata, "status": status.fields}
    try:
        await cluster.apply(CLASSIFIERS, body, manager=STATUS_MANAGER, subresource="status")
    except (NotFoundError, ConflictError):
        logger.info("ImageClassifier %s/%s changed during reconcile", metadata["namespace"], metadata["name"])
        return False
    previous = live.get("status") or {}
    await report(cluster, live, before=previous.get("conditions") or [], after=status.conditions)
    return True
