"""Who owns `spec.replicas`, and when the ownership changes."""

from __future__ import annotations

from typing import Any

import pytest
from imageclassifier_operator.api import Autoscaling
from imageclassifier_operator.apply.handover import deployment_to_create, handover, handover_to_others

MANAGER = "imageclassifier-operator"
SCALING = Autoscaling(min_replicas=2, max_replicas=5)


def live(replicas: int, *, ours: bool) -> dict[str, Any]:
    entry = {"manager": MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "pets",
            "namespace": "vision",
            "uid": "1",
            "resourceVersion": "7",
            "managedFields": [entry] if ours else [],
        },
        "spec": {"replicas": replicas},
    }


def test_there_is_no_handover_without_autoscaling() -> None:
    assert handover(live(3, ours=True), None, manager=MANAGER) is None


def test_the_current_count_is_taken_over_when_autoscaling_is_switched_on() -> None:
    taking = handover(live(3, ours=True), SCALING, manager=MANAGER)
    assert taking is not None
    assert taking["spec"] == {"replicas": 3}


def test_the_write_is_tied_to_the_object_and_the_version_that_were_read() -> None:
    taking = handover(live(3, ours=True), SCALING, manager=MANAGER)
    assert taking is not None
    assert (taking["metadata"]["uid"], taking["metadata"]["resourceVersion"]) == ("1", "7")


@pytest.mark.parametrize(("present", "taken"), [(1, 2), (9, 5)])
def test_the_count_is_taken_over_inside_the_bounds(present: int, taken: int) -> None:
    taking = handover(live(present, ours=True), SCALING, manager=MANAGER)
    assert taking is not None
    assert taking["spec"]["replicas"] == taken


def test_the_count_is_never_taken_twice() -> None:
    assert handover(live(3, ours=False), SCALING, manager=MANAGER) is None


def test_a_count_of_zero_is_taken_over_because_the_autoscaler_would_ignore_it() -> None:
    taking = handover(live(0, ours=False), SCALING, manager=MANAGER)
    assert taking is not None
    assert taking["spec"]["replicas"] == 2


def test_a_deployment_under_autoscaling_is_created_at_its_minimum() -> None:
    wanted = {"kind": "Deployment", "spec": {"selector": {}}}
    assert deployment_to_create(wanted, SCALING)["spec"]["replicas"] == 2
    assert deployment_to_create(wanted, None) == wanted


@pytest.mark.parametrize("count", [0, 1, 9])
def test_somebody_elses_autoscaler_gets_the_present_count_without_bounds(count: int) -> None:
    taking = handover_to_others(live(count, ours=True), manager=MANAGER)
    assert taking is not None
    assert taking["spec"] == {"replicas": count}
    assert taking["metadata"]["resourceVersion"] == "7"
    assert handover_to_others(live(count, ours=False), manager=MANAGER) is None
