"""Finds out why pods do not serve: the cause that a pod reports, and what to do about it (the remedy)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.naming import MODEL_CONTAINER
from imageclassifier_operator.status import remedies, unschedulable
from imageclassifier_operator.status.pod_events import cause_in_events, eviction_message
from imageclassifier_operator.status.times import is_recent, seconds_between

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"})
_CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
# The kubelet reports this until it has read the Secret or ConfigMap, which may exist.
_NOT_SYNCED = re.compile(r"failed to sync (secret|configmap) cache\b")
_IMAGE_REMEDY = "check the image's name, and that the nodes can pull it"

_TRANSIENT_REASONS = frozenset({"ModelUnreachable"})
"""Reasons that usually pass without user action."""

_INITIALIZING_SECONDS = 10
"""An init container may run for this time without being mentioned."""

_EVICTIONS = (
    (
        re.compile(r"exceeds the total limit of containers|exceeded its local ephemeral storage limit"),
        "raise spec.resources.limits.ephemeral-storage",
        True,
    ),
    (re.compile(r'EmptyDir volume "model" exceeds'), "serve a smaller model", True),
    (
        re.compile(r"low on resource: ephemeral-storage"),
        "raise spec.resources.requests.ephemeral-storage, or free disk on the node",
        False,
    ),
    (re.compile(r"low on resource: memory"), "raise spec.resources.requests.memory, or add nodes", False),
)
"""Messages of the kubelet about an evicted pod, the remedy, and whether user action is required.

Source: kubernetes `pkg/kubelet/eviction/helpers.go`.
"""


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why a pod does not serve. The lower the `rank`, the closer the cause is to the root cause."""

    rank: int
    reason: str
    message: str
    stalled: bool


def root_cause(
    pods: Iterable[Mapping[str, Any]], warnings: Mapping[str, Sequence[Mapping[str, Any]]], *, now: str = ""
) -> Cause | None:
    """Return the cause with the lowest rank. Its message has the number of other pods with the same reason.

    warnings: Events about some of the pods, by UID. They explain pods that report no cause themselves.
    """
    found = (
        cause_of(pod, now=now) or _cause_in_events(pod, warnings.get(pod["metadata"].get("uid", ""), ()))
        for pod in pods
    )
    causes = [cause for cause in found if cause is not None]
    if not causes:
        return None
    first = min(causes, key=lambda cause: (cause.rank, cause.reason, cause.message))
    others = sum(cause.reason == first.reason for cause in causes) - 1
    return replace(first, message=with_others(first.message, others))


def with_others(message: str, others: int) -> str:
    """Return a message about one pod with the number of other pods of which the same is true."""
    return f"{message} (and {others} more pod{'s' if others > 1 else ''})" if others else message


def cause_of(pod: Mapping[str, Any], *, now: str = "") -> Cause | None:
    """Return why this pod does not serve, or None if it serves or is still starting.

    now: the present time in RFC 3339 format. Without it, everything counts as recent.
    """
    status = pod.get("status") or {}
    name, phase = pod["metadata"]["name"], status.get("phase")
    stopped = _why_stopped(status) if has_ended(pod) else None
    if stopped is not None:
        reason, message = stopped
        return _ended_cause(name, reason=reason, message=message)
    if phase == "Succeeded":  # Only its Events tell why a pod whose server was stopped in order has ended.
        return None
    for field in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(field) or []:
            cause = _container_cause(pod, container, may_end=field == "initContainerStatuses", now=now)
            if cause is not None:
                return cause
    if phase == "Failed":
        return _ended_cause(name, reason="PodFailed", message=status.get("message") or "")
    return _scheduling_cause(name, status)


def initializing(pod: Mapping[str, Any], *, now: str) -> str | None:
    """Return which init container has been running for longer than it usually takes, or None."""
    name = pod["metadata"]["name"]
    sidecars = {
        container["name"]
        for container in (pod.get("spec") or {}).get("initContainers") or []
        if container.get("restartPolicy") == "Always"
    }
    for container in (pod.get("status") or {}).get("initContainerStatuses") or []:
        started = ((container.get("state") or {}).get("running") or {}).get("startedAt") or ""
        passed = seconds_between(started, now)
        if container["name"] in sidecars or passed is None or passed < _INITIALIZING_SECONDS:
            continue
        what = (
            "the model is being fetched"
            if container["name"] == MODEL_CONTAINER
            else f"{container['name']} is running"
        )
        shown_by = f"kubectl logs {name} -c {container['name']} shows the progress"
        return f"{name}: {what} since {started}; {shown_by}"
    return None


def _why_stopped(status: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the reason and message for which Kubernetes has stopped the containers of a pod that has ended.

    If they end with exit code 0 in time, the kubelet reports Succeeded, and why it has stopped them at most in a
    condition; kubernetes/kubernetes#118310 calls this intended.
    """
    if status.get("reason"):
        return status["reason"], status.get("message") or ""
    for condition in status.get("conditions") or []:
        if condition["type"] == "DisruptionTarget" and condition.get("reason") == "TerminationByKubelet":
            message = condition.get("message") or ""
            return "Terminated" if "node shutdown" in message else "Evicted", message
    return None


def _ended_cause(name: str, *, reason: str, message: str) -> Cause:
    """Return why a pod has ended. Its replacement may have another cause, which has a lower rank."""
    reported = (message or reason).strip().removesuffix(".")
    for pattern, remedy, stalled in _EVICTIONS:
        if pattern.search(reported):
            return Cause(rank=5, reason=reason, message=f"{name}: {reported}; {remedy}", stalled=stalled)
    return Cause(rank=5, reason=reason, message=f"{name}: {reported}", stalled=False)


def has_ended(pod: Mapping[str, Any]) -> bool:
    """Whether a pod has ended for good, so that it has to be replaced."""
    return (pod.get("status") or {}).get("phase") in {"Failed", "Succeeded"}


def ended_recently(pod: Mapping[str, Any], *, now: str) -> bool:
    """Whether a pod ended not long ago; the kubelet reports the time in its conditions and containers."""
    status = pod.get("status") or {}
    ends = [(each.get("state") or {}).get("terminated") or {} for each in status.get("containerStatuses") or []]
    times = [each.get("lastTransitionTime") or "" for each in status.get("conditions") or []]
    return is_recent(max([*times, *(end.get("finishedAt") or "" for end in ends)], default=""), now=now)


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether the pod says that it is ready."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _cause_in_events(pod: Mapping[str, Any], warnings: Sequence[Mapping[str, Any]]) -> Cause | None:
    name = pod["metadata"]["name"]
    if has_ended(pod):
        evicted = eviction_message(warnings)
        return None if evicted is None else _ended_cause(name, reason="Evicted", message=evicted)
    found = cause_in_events(pod, warnings)
    if found is None:
        return None
    reason, message = found
    return Cause(rank=4, reason=reason, message=f"{name}: {message}", stalled=False)


def _scheduling_cause(name: str, status: Mapping[str, Any]) -> Cause | None:
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            reason = condition.get("reason") or "Unschedulable"
            reported = condition.get("message") or reason
            remedy = unschedulable.remedy_of(reported)
            message = f"{name}: {reported}; {remedy.text}"
            return Cause(rank=4, reason=reason, message=message, stalled=remedy.stalled)
    return None


def _container_cause(
    pod: Mapping[str, Any], container: Mapping[str, Any], *, may_end: bool, now: str
) -> Cause | None:
    """Return why a container does not run, or why it was restarted not long ago.

    Only an init container may end with exit code 0.
    """
    if container.get("ready"):
        return None
    name = pod["metadata"]["name"]
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason") or ""
    if reason in _IMAGE_REASONS:
        detail = waiting.get("message") or container.get("image") or ""
        # The kubelet alternates between ErrImagePull and ImagePullBackOff. With one reason for both, the condition
        # does not change each time, and no Event is written.
        reason = "ImagePullBackOff" if reason == "ErrImagePull" else reason
        return Cause(rank=1, reason=reason, message=f"{name}: {detail}; {_IMAGE_REMEDY}", stalled=True)
    if reason in _CONFIG_REASONS:
        reported = waiting.get("message") or reason
        if _NOT_SYNCED.match(reported):
            return Cause(
                rank=1, reason=reason, message=f"{name}: {reported}; the kubelet is retrying", stalled=False
            )
        is_config = reason == "CreateContainerConfigError"
        remedy = remedies.of_missing_secret(reported, container=container["name"], pod=pod) if is_config else None
        message = f"{name}: {reported}; {remedy}" if remedy else f"{name}: {reported}"
        return Cause(rank=1, reason=reason, message=message, stalled=True)
    terminated = _last_termination(container)
    if terminated is None or (may_end and terminated.get("exitCode") == 0):
        return None
    started = (state.get("running") or {}).get("startedAt")
    if started is not None and not is_recent(started, now=now):  # it fails for another cause than before
        return None
    report = _termination_report(terminated.get("message"))
    if report is not None:
        return _reported_cause(pod, container["name"], *report)
    if terminated.get("reason") == "OOMKilled":
        message = f"{name}: container {container['name']} was OOM-killed; raise spec.resources.limits.memory"
        return Cause(rank=0, reason="OOMKilled", message=message, stalled=True)
    restarting = reason == "CrashLoopBackOff" or container.get("restartCount", 0) > 1
    return _crash_cause(name, container, terminated, restarting=restarting)


def _last_termination(container: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for field in ("state", "lastState"):
        terminated: Mapping[str, Any] | None = (container.get(field) or {}).get("terminated")
        if terminated is not None:
            return terminated
    return None


def _crash_cause(
    pod: str, container: Mapping[str, Any], terminated: Mapping[str, Any], *, restarting: bool
) -> Cause:
    lines = (terminated.get("message") or "").strip().splitlines()
    reported = f": {lines[-1][:300]}" if lines else ""
    name, code = container["name"], terminated.get("exitCode")
    logs = f"kubectl logs {pod} -c {name} --previous"
    # A server ends with exit code 0 if the kubelet stops it, usually because of a probe.
    probes = f"kubectl describe pod {pod} shows failed probes, {logs} the last lines"
    shown_by = f"{logs} shows why" if code else probes
    message = f"{pod}: container {name} terminated with exit code {code}{reported}; {shown_by}"
    reason = "CrashLoopBackOff" if restarting else terminated.get("reason") or "Error"
    return Cause(rank=2, reason=reason, message=message, stalled=restarting)


def _termination_report(message: str | None) -> tuple[str, str] | None:
    """Return the reason and message in the termination message of `fetch` or `serve`, or None if it has none."""
    try:
        reported = json.loads(message or "")
    except ValueError:
        return None
    if not isinstance(reported, dict) or not isinstance(reported.get("reason"), str):
        return None
    return reported["reason"], str(reported.get("message") or "")


def _reported_cause(pod: Mapping[str, Any], container: str, reason: str, message: str) -> Cause:
    name, remedy = pod["metadata"]["name"], remedies.of_report(reason, message, container=container, pod=pod)
    text = f"{name}: {message}; {remedy}" if remedy else f"{name}: {message}"
    return Cause(rank=0, reason=reason, message=text, stalled=reason not in _TRANSIENT_REASONS)


def model_facts(pods: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return what the init container reported about the model: name, sha256, precision, classes."""
    for pod in pods:
        for container in (pod.get("status") or {}).get("initContainerStatuses") or []:
            terminated = (container.get("state") or {}).get("terminated") or {}
            if terminated.get("exitCode") != 0:
                continue
            try:
                facts = json.loads(terminated.get("message") or "")
            except ValueError:
                continue
            if isinstance(facts, dict) and "sha256" in facts:
                return {key: facts[key] for key, valid in _FACTS.items() if key in facts and valid(facts[key])}
    return None


def _is_string(value: Any, max_length: int) -> bool:
    return isinstance(value, str) and len(value) <= max_length


_FACTS: Mapping[str, Callable[[Any], bool]] = {
    "name": lambda value: _is_string(value, 253),
    "sha256": lambda value: _is_string(value, 64),
    "precision": lambda value: _is_string(value, 32),
    "classes": lambda value: type(value) is int and 0 <= value < 2**31,
}
"""The fields of `status.model`, each with a check that the CRD accepts the value.

The API server rejects the whole status if one value is invalid.
"""
