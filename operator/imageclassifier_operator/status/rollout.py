"""The chain behind `Ready`: checks in the order in which a cause outranks its consequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.status.pods import root_cause
from imageclassifier_operator.status.types import Observation, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_REVISION = "deployment.kubernetes.io/revision"


def ready(seen: Observation) -> Verdict:
    """Return the Ready condition: the first check that finds something decides."""
    for check in CHAIN:
        verdict = check(seen)
        if verdict is not None:
            return verdict
    deployment = seen.deployment or {}
    wanted = wanted_replicas(deployment)
    if wanted == 0:
        return Verdict(status="True", reason="ScaledToZero", message="No replica is wanted, so nothing is served")
    message = f"{wanted} of {wanted} replicas serve the newest generation"
    return Verdict(status="True", reason="AllReplicasReady", message=message)


def wanted_replicas(deployment: Mapping[str, Any]) -> int:
    """Return how many pods the Deployment is to have at this moment."""
    return int((deployment.get("spec") or {}).get("replicas", 1))


def new_pods(seen: Observation) -> list[Mapping[str, Any]]:
    """Return the pods of the newest ReplicaSet, leaving out those that are ending."""
    newest = max(seen.replica_sets, key=_revision, default=None)
    if newest is None:
        return []
    uid = newest["metadata"]["uid"]
    return [
        pod
        for pod in seen.pods
        if any(owner["uid"] == uid for owner in pod["metadata"].get("ownerReferences") or [])
        and pod["metadata"].get("deletionTimestamp") is None
    ]


def _revision(replica_set: Mapping[str, Any]) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(_REVISION, 0))


def _condition(deployment: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions: Sequence[Mapping[str, Any]] = (deployment.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition["type"] == kind), {})


def _children_in_shape(seen: Observation) -> Verdict | None:
    """A child that could not be written: nothing below can be trusted to be what the spec asks for."""
    hard = [problem for problem in seen.problems if not problem.has_condition or problem.reason == "NameConflict"]
    if not hard:
        return None
    hard.sort(key=lambda problem: problem.passing)  # what a person must see to comes first
    message = "; ".join(problem.message for problem in hard)
    passing = hard[0].passing
    return Verdict(
        status="False", reason=hard[0].reason, message=message, stalled=not passing, progressing=passing
    )


def _deployment_there(seen: Observation) -> Verdict | None:
    if seen.deployment is not None:
        return None
    return Verdict(
        status="False", reason="DeploymentMissing", message="The Deployment is being made", progressing=True
    )


def _deployment_observed(seen: Observation) -> Verdict | None:
    """Its controller has not looked yet: every number in its status is about an older generation."""
    deployment = seen.deployment or {}
    if (deployment.get("status") or {}).get("observedGeneration", 0) >= deployment["metadata"].get(
        "generation", 0
    ):
        return None
    message = "The Deployment's controller has not seen the newest generation yet"
    return Verdict(status="False", reason="RolloutPending", message=message, progressing=True)


def _pods_admitted(seen: Observation) -> Verdict | None:
    """The API server refuses the pods: a quota, Pod Security admission, a webhook."""
    failure = _condition(seen.deployment or {}, "ReplicaFailure")
    if failure.get("status") != "True":
        return None
    reason = failure.get("reason") or "FailedCreate"
    return Verdict(status="False", reason=reason, message=failure.get("message") or reason, stalled=True)


def _pods_start(seen: Observation) -> Verdict | None:
    cause = root_cause(new_pods(seen))
    if cause is None:
        return None
    return Verdict(
        status="False",
        reason=cause.reason,
        message=cause.message,
        stalled=cause.stalled,
        progressing=not cause.stalled,
    )


def _in_time(seen: Observation) -> Verdict | None:
    progress = _condition(seen.deployment or {}, "Progressing")
    if progress.get("reason") != "ProgressDeadlineExceeded":
        return None
    message = f"{progress.get('message') or 'The rollout made no progress'}; kubectl describe pods shows why"
    return Verdict(status="False", reason="ProgressDeadlineExceeded", message=message, stalled=True)


def _rolled_out(seen: Observation) -> Verdict | None:
    """Every replica is of the newest generation, and no older one is left."""
    deployment = seen.deployment or {}
    status, wanted = deployment.get("status") or {}, wanted_replicas(deployment)
    updated, have = status.get("updatedReplicas", 0), status.get("replicas", 0)
    if updated < wanted:
        message = f"{updated} of {wanted} replicas are of the newest generation"
        return Verdict(status="False", reason="RollingOut", message=message, progressing=True)
    if have > updated:
        message = f"{have - updated} replicas of an older generation are still to end"
        return Verdict(status="False", reason="RollingOut", message=message, progressing=True)
    return None


def _all_ready(seen: Observation) -> Verdict | None:
    deployment = seen.deployment or {}
    wanted = wanted_replicas(deployment)
    available = (deployment.get("status") or {}).get("availableReplicas", 0)
    if available >= wanted:
        return None
    message = f"{available} of {wanted} replicas are ready"
    return Verdict(status="False", reason="ReplicasNotReady", message=message, progressing=True)


CHAIN: Sequence[Callable[[Observation], Verdict | None]] = (
    _children_in_shape,
    _deployment_there,
    _deployment_observed,
    _pods_admitted,
    _pods_start,
    _in_time,
    _rolled_out,
    _all_ready,
)
