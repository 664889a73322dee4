"""The metrics of each object: what its status says, until it is deleted."""

from __future__ import annotations

from typing import Any

import pytest
from imageclassifier_operator.metrics import Metrics
from imageclassifier_operator.object_metrics import object_facts

STATUS: dict[str, Any] = {
    "conditions": [{"type": "Ready", "status": "True"}, {"type": "GatewayReady", "status": "Unknown"}],
    "readyReplicas": 2,
    "model": {"name": "pets", "sha256": "a" * 64, "precision": "FP32"},
    "revisions": {"accepted": "pets-1", "candidate": "pets-2"},
}
DEPLOYMENT: dict[str, Any] = {"spec": {"replicas": 3}}
PREFIX = "imageclassifier_operator_object"


def exposed(metrics: Metrics, name: str, *, of: str = "pets", **labels: str) -> float | None:
    """Return the value of a series of an object, or None if there is none."""
    return metrics.registry.get_sample_value(f"{PREFIX}_{name}", {"namespace": "vision", "name": of, **labels})


def test_each_condition_is_1_for_its_status_and_0_for_the_others() -> None:
    metrics = Metrics()
    metrics.objects.set(("vision", "pets"), object_facts(STATUS, deployment=DEPLOYMENT, autoscaler=None))
    for condition, present in (("Ready", "true"), ("GatewayReady", "unknown")):
        for status in ("true", "false", "unknown"):
            found = exposed(metrics, "status_condition", condition=condition, status=status)
            assert found == (status == present)


@pytest.mark.parametrize(
    ("autoscaler", "bounds"),
    [
        (None, (3, 3)),
        ({"spec": {"minReplicas": 2, "maxReplicas": 9}}, (2, 9)),
        ({"spec": {"maxReplicas": 9}}, (1, 9)),
    ],
)
def test_the_bounds_of_the_replicas_are_those_of_the_autoscaler(
    autoscaler: dict[str, Any] | None, bounds: tuple[int, int]
) -> None:
    metrics = Metrics()
    metrics.objects.set(("vision", "pets"), object_facts(STATUS, deployment=DEPLOYMENT, autoscaler=autoscaler))
    counts = [exposed(metrics, f"replicas_{name}") for name in ("desired", "ready", "min", "max")]
    assert counts == [3, 2, *bounds]


def test_the_model_and_the_accepted_revision_are_labels() -> None:
    metrics = Metrics()
    metrics.objects.set(("vision", "pets"), object_facts(STATUS, deployment=DEPLOYMENT, autoscaler=None))
    labels = {"model": "pets", "model_sha256": "a" * 64, "precision": "FP32", "revision": "pets-1"}
    assert exposed(metrics, "info", **labels) == 1


def test_a_deleted_object_has_no_series() -> None:
    metrics = Metrics()
    for name in ("pets", "cars"):
        metrics.objects.set(("vision", name), object_facts({}, deployment=None, autoscaler=None))
    metrics.objects.forget(("vision", "pets"))
    assert exposed(metrics, "replicas_desired") is None
    assert exposed(metrics, "replicas_desired", of="cars") == 0
