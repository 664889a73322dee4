"""The conditions of the optional parts, autoscaling and monitoring; `Ready` does not depend on them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.status.types import ObservedChild, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_operator.api import Spec
    from imageclassifier_operator.status.types import Problem


def autoscaling_ready(spec: Spec, autoscaler: ObservedChild) -> Verdict:
    """Return AutoscalingReady: what the HorizontalPodAutoscaler reports, and whether memory alone keeps it up."""
    if spec.autoscaling is None:
        return Verdict(status="False", reason="NotRequested", message="spec.autoscaling is absent")
    if autoscaler.problem is not None:
        return _problem(autoscaler.problem)
    if autoscaler.live is None:
        return Verdict(status="False", reason="Pending", message="Creating the HorizontalPodAutoscaler")
    conditions = _conditions(autoscaler.live)
    for kind in ("AbleToScale", "ScalingActive"):
        condition = conditions.get(kind)
        if condition is None:
            message = "The HorizontalPodAutoscaler controller has not reported status yet"
            return Verdict(status="Unknown", reason="Pending", message=message)
        if condition["status"] != "True":
            return Verdict(
                status="False",
                reason=condition.get("reason") or kind,
                message=condition.get("message") or kind,
            )
    return _held_by_memory(autoscaler.live) or Verdict(
        status="True", reason="Scaling", message=f"Desired replicas by metrics: {_count(autoscaler.live)}"
    )


def _held_by_memory(autoscaler: Mapping[str, Any]) -> Verdict | None:
    """Memory use seldom falls with the load: report when it alone keeps the count above the minimum."""
    current = (autoscaler.get("status") or {}).get("currentReplicas", 0)
    least = autoscaler["spec"].get("minReplicas", 1)
    counts = {
        name: math.ceil(current * used / target)
        for name, target in _targets(autoscaler).items()
        if (used := _used(autoscaler).get(name)) is not None
    }
    memory = counts.get("memory", 0)
    others = max((count for name, count in counts.items() if name != "memory"), default=0)
    if memory <= max(others, least) or current <= least:
        return None
    message = (
        f"Memory alone keeps {_count(autoscaler)} replicas, and memory use seldom falls with the load: "
        "raise spec.resources.requests.memory or drop targetMemoryUtilization"
    )
    return Verdict(status="True", reason="HeldByMemory", message=message)


def _count(autoscaler: Mapping[str, Any]) -> int:
    return int((autoscaler.get("status") or {}).get("desiredReplicas", 0))


def _targets(autoscaler: Mapping[str, Any]) -> dict[str, int]:
    return {
        metric["resource"]["name"]: metric["resource"]["target"]["averageUtilization"]
        for metric in autoscaler["spec"].get("metrics") or []
        if metric["type"] == "Resource" and metric["resource"]["target"].get("averageUtilization")
    }


def _used(autoscaler: Mapping[str, Any]) -> dict[str, int | None]:
    return {
        metric["resource"]["name"]: metric["resource"]["current"].get("averageUtilization")
        for metric in (autoscaler.get("status") or {}).get("currentMetrics") or []
        if metric.get("type") == "Resource" and metric.get("resource")
    }


def monitoring_ready(spec: Spec, monitor: ObservedChild) -> Verdict:
    """Return MonitoringReady: whether Prometheus finds the pods by a ServiceMonitor."""
    if spec.monitoring.service_monitor == "Disabled":
        return Verdict(status="False", reason="NotRequested", message="spec.monitoring.serviceMonitor is Disabled")
    if not monitor.served:
        message = (
            "The API server does not serve ServiceMonitor (monitoring.coreos.com/v1); "
            "one is created once its CRD is installed"
        )
        return Verdict(status="False", reason="CRDNotInstalled", message=message)
    if monitor.problem is not None:
        return _problem(monitor.problem)
    if monitor.live is None:
        return Verdict(status="False", reason="Pending", message="Creating the ServiceMonitor")
    return Verdict(status="True", reason="ServiceMonitorApplied", message="The ServiceMonitor is applied")


def _problem(problem: Problem) -> Verdict:
    return Verdict(status="False", reason=problem.reason, message=problem.message)


def _conditions(live: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {condition["type"]: condition for condition in (live.get("status") or {}).get("conditions") or []}
