"""When there is a PodDisruptionBudget: a drain must neither stop all pods nor wait forever."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.operator.manifests.building import built

_KIND = "PodDisruptionBudget"


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 2},
        {"autoscaling": {"minReplicas": 1, "maxReplicas": 2}},
        {"replicas": 0, "autoscaling": {}},
    ],
)
def test_more_than_one_possible_pod_has_a_budget(spec: dict[str, Any]) -> None:
    budget = built(spec)[_KIND]["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"replicas": 0},
        {"replicas": 3, "autoscaling": {"minReplicas": 1, "maxReplicas": 1}},
        {"replicas": 2, "disruption": {"budget": "Disabled"}},
    ],
)
def test_a_single_pod_and_a_disabled_budget_have_none(spec: dict[str, Any]) -> None:
    assert _KIND not in built(spec)


def test_the_budget_counts_the_pods_of_the_deployment() -> None:
    children = built({"replicas": 2})
    assert children[_KIND]["spec"]["selector"] == children["Deployment"]["spec"]["selector"]
