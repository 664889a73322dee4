"""One reconcile of one ImageClassifier: applies its children, and writes its status."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api import GROUP, KIND, VERSION, InvalidSpecError, OperatorConfig, parse
from imageclassifier_operator.apply import MANAGER, Overrides, apply_children, difference
from imageclassifier_operator.children import CONDITIONS, build_all, unsupported_fields
from imageclassifier_operator.events import report
from imageclassifier_operator.kube import CLASSIFIERS, Cluster, ConflictError, NotFoundError
from imageclassifier_operator.manifests import Params
from imageclassifier_operator.observe import observe
from imageclassifier_operator.status import compute, compute_invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imageclassifier_operator.manifests import Capabilities
    from imageclassifier_operator.status import Status

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
    now: Callable[[], str] = _now,
) -> Outcome:
    """Apply the children, and write the status. Raises `KubeError` if the reconcile has to be retried."""
    live = await cluster.get(CLASSIFIERS, namespace=namespace, name=name)
    if live is None or live["metadata"].get("deletionTimestamp") is not None:
        overrides.forget((namespace, name))
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
        return Outcome(requeue_after=None, result="invalid")
    params = Params(ic=ic, config=config, capabilities=capabilities)
    desired = build_all(params)
    applied = await apply_children(cluster, ic, desired, capabilities=capabilities, overrides=overrides)
    observed = await observe(
        cluster,
        namespace=namespace,
        name=name,
        uid=uid,
        capabilities=capabilities,
        live_children=applied.live_children,
        problems=applied.problems,
        overridden=applied.overridden,
        unsupported=unsupported_fields(params),
    )
    status = compute(ic, observed, conditions=CONDITIONS, previous=live.get("status") or {}, now=now())
    await _write_status(cluster, live, status)
    if applied.again:
        return Outcome(requeue_after=None, result="again", again=True)
    if any(not problem.transient for problem in applied.problems):
        return Outcome(requeue_after=PROBLEM_SECONDS, result="refused")
    if status.ready and not applied.problems:
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
