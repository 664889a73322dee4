"""Where pods run: nothing is added that was not asked for, and a rollout never blocks itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.operator.manifests.building import template

_TOPOLOGIES = ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


def _pod(**scheduling: Any) -> dict[str, Any]:
    pod: dict[str, Any] = template({"scheduling": scheduling})["spec"]
    return pod


def test_an_empty_part_adds_nothing_to_the_template() -> None:
    assert template({"scheduling": {}, "runtime": {}, "disruption": {}}) == template({})


def test_pods_prefer_to_be_spread_over_zones_and_nodes() -> None:
    constraints = _pod()["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in constraints] == _TOPOLOGIES
    assert {each["whenUnsatisfiable"] for each in constraints} == {"ScheduleAnyway"}


def test_a_required_spread_counts_only_the_pods_of_the_same_rollout() -> None:
    constraints = _pod(spread="Required")["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in constraints] == _TOPOLOGIES
    assert {each["whenUnsatisfiable"] for each in constraints} == {"DoNotSchedule"}
    assert all(each["matchLabelKeys"] == ["pod-template-hash"] for each in constraints)
    assert {each["nodeTaintsPolicy"] for each in constraints} == {"Honor"}


@pytest.mark.parametrize("affinity", [{}, {"nodeAffinity": {}}, {"podAffinity": {}, "podAntiAffinity": {}}])
def test_an_affinity_that_says_nothing_changes_no_template(affinity: dict[str, Any]) -> None:
    assert _pod(affinity=affinity) == _pod()


def test_an_empty_value_of_a_toleration_is_not_sent_because_the_api_server_does_not_store_it() -> None:
    toleration = {"key": "dedicated", "effect": "NoSchedule"}
    assert _pod(tolerations=[{**toleration, "value": ""}])["tolerations"] == [toleration]


def test_spreading_can_be_switched_off() -> None:
    assert "topologySpreadConstraints" not in _pod(spread="Off")


@pytest.mark.parametrize(
    "scheduling",
    [
        {"nodeSelector": {"kubernetes.io/arch": "arm64"}},
        {"tolerations": [{"key": "pool", "value": "vision", "effect": "NoSchedule"}, {"operator": "Exists"}]},
        {"priorityClassName": "serving", "runtimeClassName": "gvisor"},
        {
            "affinity": {
                "podAntiAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [
                        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}}
                    ]
                }
            }
        },
    ],
)
def test_what_is_given_is_in_the_pod_as_it_was_written(scheduling: dict[str, Any]) -> None:
    assert _pod(**scheduling) == {**_pod(), **scheduling}
