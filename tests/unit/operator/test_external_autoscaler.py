"""Which autoscaler sets the replicas of a Deployment, and when none does."""

from __future__ import annotations

from typing import Any

import pytest
from imageclassifier_operator.api import Autoscaling, ImageClassifier, ModelSource, Spec
from imageclassifier_operator.apply.external_autoscaler import external_autoscaler, without_replicas

from tests.unit.operator.scripted_cluster import StoredCluster

SOURCE = ModelSource(name="pets", uris=("bundled:pets",), sha256="a" * 64)
SCALED_OBJECT = {"kind": "ScaledObject", "name": "pets", "uid": "2", "controller": True}


def classifier(**spec: Any) -> ImageClassifier:
    return ImageClassifier(namespace="vision", name="pets", uid="1", generation=1, spec=Spec(model=SOURCE, **spec))


def deployment(replicas: int, *, scaled: bool = False) -> dict[str, Any]:
    entry = {"manager": "m", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    return {"metadata": {"managedFields": [entry] if scaled else []}, "spec": {"replicas": replicas}}


def autoscaler(
    *, kind: str = "Deployment", name: str = "pets", minimum: int = 2, **metadata: Any
) -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": kind, "name": name}
    return {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "own", **metadata},
        "spec": {"scaleTargetRef": target, "minReplicas": minimum},
    }


async def is_external(
    found: dict[str, Any],
    *,
    live: dict[str, Any],
    wanted: int = 1,
    ic: ImageClassifier | None = None,
) -> bool:
    cluster = StoredCluster(found)
    return await external_autoscaler(cluster, ic or classifier(), deployment(wanted), live) is not None


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (deployment(3), True),
        (deployment(1), False),  # nobody has scaled yet
        (deployment(1, scaled=True), True),
        (deployment(0), False),  # it is switched off
        (deployment(0, scaled=True), False),
    ],
)
async def test_an_autoscaler_of_the_deployment_sets_its_replicas(live: dict[str, Any], expected: bool) -> None:
    assert await is_external(autoscaler(), live=live) is expected


@pytest.mark.parametrize(
    "found", [autoscaler(minimum=0), autoscaler(minimum=1, ownerReferences=[SCALED_OBJECT])], ids=["HPA", "KEDA"]
)
async def test_an_autoscaler_that_scales_to_zero_may_leave_no_replicas(found: dict[str, Any]) -> None:
    assert await is_external(found, live=deployment(0, scaled=True))
    assert not await is_external(found, live=deployment(0)), "the operator itself has set them to 0"


@pytest.mark.parametrize(
    "found",
    [
        autoscaler(name="cars"),
        autoscaler(kind="StatefulSet"),
        autoscaler(deletionTimestamp="2026-01-01T00:00:00Z"),
        autoscaler(ownerReferences=[{"kind": "ImageClassifier", "uid": "1", "controller": True}]),
    ],
    ids=["another target", "another kind", "deleted", "our own"],
)
async def test_another_autoscaler_does_not_count(found: dict[str, Any]) -> None:
    assert not await is_external(found, live=deployment(3))


async def test_the_spec_sets_the_replicas_if_it_has_an_autoscaler_or_wants_none() -> None:
    assert not await is_external(autoscaler(), live=deployment(3), ic=classifier(autoscaling=Autoscaling()))
    assert not await is_external(autoscaler(), live=deployment(3), wanted=0)


def test_only_the_replicas_are_left_out() -> None:
    desired = {"metadata": {"name": "pets"}, "spec": {"replicas": 1, "template": {}}}
    assert without_replicas(desired) == {"metadata": {"name": "pets"}, "spec": {"template": {}}}
