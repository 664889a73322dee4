"""The conditions of the optional children: autoscaling and monitoring. `Ready` does not depend on them.

The exception is a name conflict, which is reported by `Ready` too.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api import KIND
from imageclassifier_operator.status.types import ObservedChild, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_operator.api import Spec


_AUTOSCALER_CONDITIONS = ("AbleToScale", "ScalingActive")


def autoscaling_ready(spec: Spec, autoscaler: ObservedChild) -> Verdict:
    """Return AutoscalingReady: what the HorizontalPodAutoscaler reports.

    It also reports if the memory target alone keeps the number of replicas above the minimum. Without
    spec.autoscaling, a HorizontalPodAutoscaler is somebody else's, which sets the replicas instead of the spec.
    """
    if spec.autoscaling is None and (autoscaler.live is None or _is_ours(autoscaler.live)):
        return Verdict(status="False", reason="NotRequested", message="spec.autoscaling is absent")
    if autoscaler.live is None or autoscaler.problem is not None:
        return unapplied_verdict(autoscaler, "HorizontalPodAutoscaler")
    if spec.autoscaling is None:  # its status is not watched, so it is not reported here
        name = autoscaler.live["metadata"]["name"]
        message = (
            f"HorizontalPodAutoscaler {name} sets the replicas, and spec.replicas is not used; "
            f"kubectl describe hpa {name} shows its state"
        )
        return Verdict(status="True", reason="External", message=message)
    conditions = _conditions(autoscaler.live)
    for condition_type in _AUTOSCALER_CONDITIONS:
        condition = conditions.get(condition_type)
        if condition is None:
            message = "The HorizontalPodAutoscaler controller has not reported status yet"
            return Verdict(status="Unknown", reason="Pending", message=message)
        if condition["status"] != "True":
            return Verdict(
                status="False",
                reason=condition.get("reason") or condition_type,
                message=condition.get("message") or condition_type,
            )
    live_spec = autoscaler.live["spec"]
    bounds = f"minReplicas {live_spec.get('minReplicas', 1)}, maxReplicas {live_spec['maxReplicas']}"
    message = (
        f"Desired replicas by metrics: {_desired_replicas(autoscaler.live)} ({bounds}); spec.replicas is not used"
    )
    return _held_by_memory(autoscaler.live) or Verdict(status="True", reason="Scaling", message=message)


def autoscaler_version(autoscaler: Mapping[str, Any]) -> str:
    """Return a digest of what the operator uses of a HorizontalPodAutoscaler.

    Its controller writes the measured values every 15 seconds, and with them the reasons of its conditions change.
    They count only if the verdict about them changes.
    """
    metadata = dict(autoscaler["metadata"])
    del metadata["resourceVersion"]
    managers = metadata.pop("managedFields", None) or []
    owners = [manager for manager in managers if manager.get("subresource") != "status"]
    conditions = _conditions(autoscaler)
    reported = [
        (kind, None if found is None or found.get("status") == "True" else found, found is None)
        for kind, found in ((kind, conditions.get(kind)) for kind in _AUTOSCALER_CONDITIONS)
    ]
    held = _held_by_memory(autoscaler) is not None
    used = [metadata, owners, autoscaler.get("spec"), reported, _desired_replicas(autoscaler), held]
    return hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()


def _is_ours(autoscaler: Mapping[str, Any]) -> bool:
    """Whether it was of spec.autoscaling: it is not deleted while the object is paused."""
    return any(owner["kind"] == KIND for owner in autoscaler["metadata"].get("ownerReferences") or [])


def _held_by_memory(autoscaler: Mapping[str, Any]) -> Verdict | None:
    """Return a verdict if the memory target alone keeps the number of replicas above the minimum.

    It is reported since memory use seldom falls with the load, so the number would stay high.
    """
    current = (autoscaler.get("status") or {}).get("currentReplicas", 0)
    min_replicas = autoscaler["spec"].get("minReplicas", 1)
    replicas_by_metric = {
        metric: math.ceil(current * used / target)
        for metric, target in _target_utilization(autoscaler).items()
        if (used := _current_utilization(autoscaler).get(metric)) is not None
    }
    for_memory = replicas_by_metric.get("memory", 0)
    for_others = max((count for metric, count in replicas_by_metric.items() if metric != "memory"), default=0)
    if for_memory <= max(for_others, min_replicas) or current <= min_replicas:
        return None
    message = (
        f"Memory alone keeps {_desired_replicas(autoscaler)} replicas, and memory use seldom falls with the load: "
        "raise spec.resources.requests.memory or drop targetMemoryUtilization"
    )
    return Verdict(status="True", reason="HeldByMemory", message=message)


def _desired_replicas(autoscaler: Mapping[str, Any]) -> int:
    return int((autoscaler.get("status") or {}).get("desiredReplicas", 0))


def _target_utilization(autoscaler: Mapping[str, Any]) -> dict[str, int]:
    return {
        metric["resource"]["name"]: metric["resource"]["target"]["averageUtilization"]
        for metric in autoscaler["spec"].get("metrics") or []
        if metric["type"] == "Resource" and metric["resource"]["target"].get("averageUtilization")
    }


def _current_utilization(autoscaler: Mapping[str, Any]) -> dict[str, int | None]:
    return {
        metric["resource"]["name"]: metric["resource"]["current"].get("averageUtilization")
        for metric in (autoscaler.get("status") or {}).get("currentMetrics") or []
        if metric.get("type") == "Resource" and metric.get("resource")
    }


def monitoring_ready(spec: Spec, monitor: ObservedChild) -> Verdict:
    """Return MonitoringReady: whether a ServiceMonitor, by which Prometheus discovers the pods, is applied."""
    if spec.monitoring.service_monitor == "Disabled":
        return Verdict(status="False", reason="NotRequested", message="spec.monitoring.serviceMonitor is Disabled")
    if monitor.live is None or monitor.problem is not None:
        return unapplied_verdict(monitor, "ServiceMonitor", "monitoring.coreos.com/v1")
    return Verdict(status="True", reason="ServiceMonitorApplied", message="The ServiceMonitor is applied")


def unapplied_verdict(child: ObservedChild, kind: str, group_version: str = "") -> Verdict:
    """Return the verdict about a requested child that does not exist, or that could not be applied."""
    if not child.served:
        message = (
            f"The API server does not serve {kind} ({group_version}); one is created once its CRD is installed"
        )
        return Verdict(status="False", reason="CRDNotInstalled", message=message)
    if child.problem is not None:
        return Verdict(status="False", reason=child.problem.reason, message=child.problem.message)
    return Verdict(status="False", reason="Pending", message=f"Creating the {kind}")


def _conditions(live: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {condition["type"]: condition for condition in (live.get("status") or {}).get("conditions") or []}
