"""The chain of checks that decides `Ready`. A check for a cause comes before the checks for its consequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.status import rejected_pods
from imageclassifier_operator.status.contested import contested_verdict
from imageclassifier_operator.status.pods import (
    cause_of,
    ended_recently,
    has_ended,
    initializing,
    is_ready,
    root_cause,
    with_others,
)
from imageclassifier_operator.status.types import Observation, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_REVISION = "deployment.kubernetes.io/revision"
_TEMPLATE_HASH = "pod-template-hash"


def ready_verdict(observed: Observation) -> Verdict:
    """Return the verdict of the first check in the chain that has one, or a verdict True if none has."""
    for check in CHAIN:
        verdict = check(observed)
        if verdict is not None:
            return verdict
    deployment = observed.deployment or {}
    desired = desired_replicas(deployment)
    if desired == 0:
        return Verdict(status="True", reason="ScaledToZero", message="Scaled to zero: no replica is desired")
    message = f"{desired}/{desired} replicas are ready and up to date"
    return Verdict(status="True", reason="AllReplicasReady", message=message)


def desired_replicas(deployment: Mapping[str, Any]) -> int:
    """Return the number of replicas in the spec of the Deployment."""
    return int((deployment.get("spec") or {}).get("replicas", 1))


def new_pods(observed: Observation) -> list[Mapping[str, Any]]:
    """Return the pods of the newest ReplicaSet, without those that are terminating."""
    newest = max(observed.replica_sets, key=_revision, default=None)
    if newest is None:
        return []
    uid = newest["metadata"]["uid"]
    return [
        pod
        for pod in observed.pods
        if any(owner["uid"] == uid for owner in pod["metadata"].get("ownerReferences") or [])
        and pod["metadata"].get("deletionTimestamp") is None
    ]


def _pods_of_missing_replicas(observed: Observation) -> list[Mapping[str, Any]]:
    """Return the pods of the newest ReplicaSet that are not ready; none if enough others are.

    A pod that has ended and was replaced stays until it is deleted, so its cause alone says nothing.
    """
    desired = desired_replicas(observed.deployment or {})
    pods = new_pods(observed)
    if sum(not has_ended(pod) for pod in pods) >= desired:  # each that has ended has its replacement
        pods = [pod for pod in pods if not has_ended(pod) or ended_recently(pod, now=observed.now)]
    missing = [pod for pod in pods if not is_ready(pod)]
    return [] if len(pods) - len(missing) >= desired else missing


def unexplained_pods(observed: Observation) -> list[Mapping[str, Any]]:
    """Return the pods that are missing as replicas and do not report why; their Events may tell."""
    return [pod for pod in _pods_of_missing_replicas(observed) if cause_of(pod, now=observed.now) is None]


def _revision(replica_set: Mapping[str, Any]) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(_REVISION, 0))


def _condition(deployment: Mapping[str, Any], condition_type: str) -> Mapping[str, Any]:
    conditions: Sequence[Mapping[str, Any]] = (deployment.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition["type"] == condition_type), {})


def _children_applied(observed: Observation) -> Verdict | None:
    """Return a verdict if a child could not be applied: the live children then differ from the desired ones."""
    blocking = [each for each in observed.problems if not each.has_condition or each.reason == "NameConflict"]
    if not blocking:
        return None
    blocking.sort(key=lambda problem: problem.transient)  # problems that require user action come first
    message = "; ".join(problem.message for problem in blocking)
    first = blocking[0]
    return Verdict(
        status="False",
        reason=first.reason,
        message=message,
        stalled=not first.transient,
        progressing=first.transient,
    )


def _not_paused(observed: Observation) -> Verdict | None:
    """Return a verdict if the object is paused, and the live children differ from what it asks for."""
    if not observed.not_applied:
        return None
    message = (
        f"Paused, so these changes are not applied: {', '.join(observed.not_applied)}; set spec.paused to false"
    )
    cause = root_cause(_pods_of_missing_replicas(observed), observed.warnings, now=observed.now)
    if cause is None:
        return Verdict(status="False", reason="Paused", message=message)
    return Verdict(status="False", reason="Paused", message=f"{message}; {cause.message}", stalled=cause.stalled)


def _not_withheld(observed: Observation) -> Verdict | None:
    """Return a verdict if the live children differ from the desired ones, because others set them back."""
    if not observed.withheld:
        return None
    contested = contested_verdict(observed.contested)
    return Verdict(status="False", reason="SetBackByOthers", message=contested.message, stalled=True)


def _deployment_exists(observed: Observation) -> Verdict | None:
    if observed.deployment is not None:
        return None
    return Verdict(status="False", reason="DeploymentMissing", message="Creating the Deployment", progressing=True)


def _deployment_observed(observed: Observation) -> Verdict | None:
    """Return a verdict if the Deployment's status is still about an older generation of its spec."""
    deployment = observed.deployment or {}
    if (deployment.get("status") or {}).get("observedGeneration", 0) >= deployment["metadata"].get(
        "generation", 0
    ) or _only_the_count_has_changed(observed):
        return None
    message = "The Deployment controller has not observed the newest generation yet"
    return Verdict(status="False", reason="RolloutPending", message=message, progressing=True)


def _only_the_count_has_changed(observed: Observation) -> bool:
    """Whether all pods are of a ReplicaSet that has the template of the Deployment, whose status may be older.

    So a status that was written before a template changed is never taken for one about the new template.
    """
    newest = max(observed.replica_sets, key=_revision, default=None)
    template: Any = ((newest or {}).get("spec") or {}).get("template")
    if newest is None or not template or observed.deployment is None:
        return False
    if any(_replicas(each) for each in observed.replica_sets if each is not newest):
        return False
    if _replicas(newest, "availableReplicas") < _replicas(observed.deployment, "availableReplicas"):
        return False
    metadata = template.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != _TEMPLATE_HASH}
    expected: Any = observed.deployment["spec"]["template"]
    return bool({**template, "metadata": {**metadata, "labels": labels}} == expected)


def _replicas(live: Mapping[str, Any], field: str = "replicas") -> int:
    return int((live.get("status") or {}).get(field, 0))


def _pods_admitted(observed: Observation) -> Verdict | None:
    """Return a verdict if the API server rejects the pods, because of a quota, Pod Security or a webhook."""
    failure = _condition(observed.deployment or {}, "ReplicaFailure")
    if failure.get("status") != "True":
        return None
    reason = failure.get("reason") or "FailedCreate"
    message = rejected_pods.with_remedy(failure.get("message") or reason)
    return Verdict(status="False", reason=reason, message=message, stalled=True)


def _minimum_is_ready(observed: Observation) -> Verdict | None:
    """Return a verdict True while an autoscaler adds pods to a minimum that is ready, and that is up to date.

    It has none if a new pod needs user action: the others have the same template.
    """
    autoscaler = observed.children.get("HorizontalPodAutoscaler")
    if autoscaler is None:
        return None
    updated, existing, desired = _counts(observed)
    minimum = autoscaler["spec"].get("minReplicas", 1)
    available = _replicas(observed.deployment or {}, "availableReplicas")
    if existing > updated or not minimum <= available < desired:
        return None
    cause = root_cause(_pods_of_missing_replicas(observed), observed.warnings, now=observed.now)
    if cause is not None and cause.stalled:
        return None
    counts = f"{available}/{desired} replicas are ready, of which the autoscaler requires at least {minimum}"
    others = (_pods_admitted(observed), cause)
    message = "; ".join([counts, *(each.message for each in others if each is not None)])
    return Verdict(status="True", reason="Scaling", message=message, progressing=True)


def _pods_start(observed: Observation) -> Verdict | None:
    cause = root_cause(_pods_of_missing_replicas(observed), observed.warnings, now=observed.now)
    if cause is None:
        return None
    stalled = cause.stalled or deadline_exceeded(observed)
    return Verdict(
        status="False", reason=cause.reason, message=cause.message, stalled=stalled, progressing=not stalled
    )


def deadline_exceeded(observed: Observation) -> bool:
    """Whether the Deployment controller reports that the rollout has made no progress for too long."""
    deployment = observed.deployment
    if (
        deployment is None or _deployment_observed(observed) is not None
    ):  # the condition is about an older template
        return False
    return _condition(deployment, "Progressing").get("reason") == "ProgressDeadlineExceeded"


def _within_deadline(observed: Observation) -> Verdict | None:
    if not deadline_exceeded(observed):
        return None
    progress = _condition(observed.deployment or {}, "Progressing")
    message = f"{progress.get('message') or 'The rollout has made no progress'}; kubectl describe pods shows why"
    return Verdict(status="False", reason="ProgressDeadlineExceeded", message=message, stalled=True)


def _rolled_out(observed: Observation) -> Verdict | None:
    """Return a verdict if there are replicas of an older template. Missing replicas alone are not a rollout."""
    updated, existing, desired = _counts(observed)
    if existing <= updated:
        return None
    old = existing - updated
    message = (
        f"{updated}/{desired} replicas are up to date"
        if updated < desired
        else f"Waiting for {old} old replica{'s' if old > 1 else ''} to terminate"
    )
    return Verdict(status="False", reason="RollingOut", message=message, progressing=True)


def _counts(observed: Observation) -> tuple[int, int, int]:
    """Return the numbers of replicas that are up to date, that exist, and that are desired."""
    deployment = observed.deployment or {}
    return _replicas(deployment, "updatedReplicas"), _replicas(deployment), desired_replicas(deployment)


def _not_held(observed: Observation) -> Verdict | None:
    """Return a verdict if somebody has paused the Deployment, and new pods are therefore not created."""
    deployment = observed.deployment or {}
    updated, existing, desired = _counts(observed)
    if not (deployment.get("spec") or {}).get("paused") or (existing <= updated and (updated or not desired)):
        return None
    name = deployment["metadata"]["name"]
    message = f"Somebody has paused the Deployment; kubectl rollout resume deployment/{name} continues the rollout"
    return Verdict(status="False", reason="DeploymentPaused", message=message, stalled=True)


def _initialized(observed: Observation) -> Verdict | None:
    """Return a verdict if pods have been initializing for long, usually because they fetch a large model."""
    pods = _pods_of_missing_replicas(observed)
    found = [text for pod in pods if (text := initializing(pod, now=observed.now)) is not None]
    if not found:
        return None
    message = with_others(found[0], len(found) - 1)
    return Verdict(status="False", reason="PodInitializing", message=message, progressing=True)


def _all_ready(observed: Observation) -> Verdict | None:
    deployment = observed.deployment or {}
    desired = desired_replicas(deployment)
    available = (deployment.get("status") or {}).get("availableReplicas", 0)
    if available >= desired:
        return None
    message = f"{available}/{desired} replicas are ready"
    return Verdict(status="False", reason="ReplicasNotReady", message=message, progressing=True)


CHAIN: Sequence[Callable[[Observation], Verdict | None]] = (
    _children_applied,
    _not_paused,
    _not_withheld,
    _deployment_exists,
    _deployment_observed,
    _minimum_is_ready,
    _pods_admitted,
    _pods_start,
    _within_deadline,
    _not_held,
    _rolled_out,
    _initialized,
    _all_ready,
)
