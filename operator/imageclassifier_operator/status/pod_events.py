"""Finds out why a pod does not start from its Events: some causes are in no field of the pod.

Source of the reasons: `pkg/kubelet/events/event.go` and the node lifecycle controller in k8s.io/kubernetes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.status.times import seconds_between

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BEFORE_START = {
    "FailedMount": "create what the volume needs in this namespace, or correct the field of spec that names it",
    "FailedMapVolume": "check that the node can use the volume",
    "FailedAttachVolume": "check that the volume is not attached to another node (kubectl get volumeattachments)",
    "FailedCreatePodSandBox": "check the network plugin and the container runtime of the node, and "
    "spec.scheduling.runtimeClassName",
    "NetworkNotReady": "check the network plugin of the node",
}
"""Reasons, with their remedies, that count only until volumes and network are there."""

_WHILE_RUNNING = {
    "Unhealthy": "the container runs, but does not respond: kubectl logs shows why",
    "NodeNotReady": "kubectl get nodes shows which node is lost: repair or remove it; Kubernetes replaces its "
    "pods after five minutes",
}
"""Reasons, with their remedies, that count while a container runs and the pod is not ready."""

_STARTUP_SECONDS = 30
"""A probe may fail for this time after the start of a container without being a cause."""


def cause_in_events(pod: Mapping[str, Any], warnings: Iterable[Mapping[str, Any]]) -> tuple[str, str] | None:
    """Return the reason, and the message with the remedy, of the newest Event that explains a pod without a cause.

    warnings: the Events of type Warning about the pod.
    """
    newest = max((event for event in warnings if _explains(event, pod)), key=_time, default=None)
    if newest is None:
        return None
    reason = newest["reason"]
    remedy = _BEFORE_START.get(reason) or _WHILE_RUNNING[reason]
    return reason, f"{(newest.get('message') or reason).strip()}; {remedy}"


def eviction_message(warnings: Iterable[Mapping[str, Any]]) -> str | None:
    """Return what the kubelet wrote when it evicted a pod, or None if it did not.

    The status of an evicted pod whose containers end in order with exit code 0 does not say it.
    """
    newest = max((event for event in warnings if event.get("reason") == "Evicted"), key=_time, default=None)
    return None if newest is None else newest.get("message") or ""


def _explains(event: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    reason, started = event.get("reason"), _last_start(pod)
    if reason in _BEFORE_START:
        return started is None and not _has_sandbox(pod)
    if reason not in _WHILE_RUNNING or started is None:
        return False
    passed = seconds_between(started, _time(event))
    return passed is not None and passed > (_STARTUP_SECONDS if reason == "Unhealthy" else 0)


def _has_sandbox(pod: Mapping[str, Any]) -> bool:
    """Whether volumes are mounted and the network is there; images may still be pulled."""
    status = pod.get("status") or {}
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodReadyToStartContainers":
            return bool(condition["status"] == "True")
    return bool(status.get("podIP"))


def _last_start(pod: Mapping[str, Any]) -> str | None:
    """Return when the newest container of a pod has started, or None if none has."""
    status = pod.get("status") or {}
    states = [
        each.get("state") or {}
        for key in ("initContainerStatuses", "containerStatuses")
        for each in status.get(key) or []
    ]
    starts = [
        state[key].get("startedAt") or "" for state in states for key in ("running", "terminated") if key in state
    ]
    return max(starts, default=None)


def _time(event: Mapping[str, Any]) -> str:
    """Return when an Event happened last, in RFC 3339 format; clients write it into one of several fields."""
    series = event.get("series") or {}
    return (
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
        or ""
    )
