"""What a HorizontalPodAutoscaler measures counts as a change only if the operator's verdict about it changes."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.status.optional import autoscaler_version

if TYPE_CHECKING:
    from collections.abc import Callable


def autoscaler(*, cpu: int, memory: int, version: str = "1") -> dict[str, Any]:
    """One whose controller measures these utilizations at three replicas."""
    used = {"cpu": cpu, "memory": memory}
    return {
        "metadata": {
            "name": "pets",
            "uid": "1",
            "resourceVersion": version,
            "labels": {"app.kubernetes.io/instance": "pets"},
            "managedFields": [
                {"manager": "imageclassifier-operator", "operation": "Apply", "time": "2026-01-01T00:00:00Z"},
                {
                    "manager": "kube-controller-manager",
                    "subresource": "status",
                    "time": f"2026-01-01T00:00:{cpu}Z",
                },
            ],
        },
        "spec": {
            "minReplicas": 1,
            "maxReplicas": 4,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": name, "target": {"type": "Utilization", "averageUtilization": 80}},
                }
                for name in used
            ],
        },
        "status": {
            "currentReplicas": 3,
            "desiredReplicas": 3,
            "conditions": [{"type": "ScalingActive", "status": "True"}],
            "currentMetrics": [
                {"type": "Resource", "resource": {"name": name, "current": {"averageUtilization": value}}}
                for name, value in used.items()
            ],
        },
    }


def test_other_measured_values_are_no_change() -> None:
    before = autoscaler(cpu=70, memory=70)
    assert autoscaler_version(autoscaler(cpu=72, memory=71, version="2")) == autoscaler_version(before)


def test_other_reasons_of_conditions_that_are_true_are_no_change() -> None:
    after = autoscaler(cpu=70, memory=70, version="2")
    after["status"]["conditions"][0] |= {"reason": "ScaleDownStabilized", "message": "recent recommendations"}
    after["status"]["conditions"].append({"type": "ScalingLimited", "status": "True", "reason": "TooFewReplicas"})
    assert autoscaler_version(after) == autoscaler_version(autoscaler(cpu=70, memory=70))


def test_the_reason_of_a_condition_that_is_not_true_is_a_change() -> None:
    before = autoscaler(cpu=70, memory=70)
    before["status"]["conditions"][0] |= {"status": "False", "reason": "FailedGetResourceMetric"}
    after = copy.deepcopy(before)
    after["status"]["conditions"][0]["reason"] = "FailedGetScale"
    assert autoscaler_version(after) != autoscaler_version(before)


def test_measured_values_that_change_the_verdict_are_a_change() -> None:
    held_by_memory = autoscaler(cpu=10, memory=70, version="2")
    assert autoscaler_version(held_by_memory) != autoscaler_version(autoscaler(cpu=70, memory=70))


@pytest.mark.parametrize(
    "change",
    [
        lambda live: live["spec"].update(maxReplicas=9),
        lambda live: live["status"].update(desiredReplicas=4),
        lambda live: live["status"]["conditions"][0].update(status="False"),
        lambda live: live["status"]["conditions"].pop(),
        lambda live: live["metadata"]["labels"].update(team="vision"),
        lambda live: live["metadata"]["managedFields"][0].update(time="2026-01-02T00:00:00Z"),
        lambda live: live["metadata"].update(deletionTimestamp="2026-01-02T00:00:00Z"),
        lambda live: live.pop("status"),
    ],
)
def test_everything_else_is_a_change(change: Callable[[dict[str, Any]], object]) -> None:
    before = autoscaler(cpu=70, memory=70)
    after = copy.deepcopy(before)
    change(after)
    assert autoscaler_version(after) != autoscaler_version(before)


def test_an_autoscaler_without_a_status_has_a_version() -> None:
    assert autoscaler_version({"metadata": {"uid": "1", "resourceVersion": "1"}, "spec": {"maxReplicas": 2}})
