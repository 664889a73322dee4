"""Fields that an older Kubernetes drops silently are left out, and a condition reports them."""

from __future__ import annotations

from typing import Any

import pytest
from imageclassifier_operator.api import parse
from imageclassifier_operator.children import build_all, unsupported_fields
from imageclassifier_operator.manifests import Capabilities, Params

from tests import crd
from tests.unit.operator.manifests.building import CONFIG

_TOLERANCE = {"autoscaling": {"behavior": {"scaleUp": {"tolerance": 5}}}}


def _params(spec: dict[str, Any], version: tuple[int, int]) -> Params:
    live = {
        "metadata": {"name": "pets", "namespace": "vision", "uid": "uid-1"},
        "spec": crd.defaulted(spec, crd.schema()["properties"]["spec"]),
    }
    return Params(ic=parse(live, config=CONFIG), config=CONFIG, capabilities=Capabilities(kubernetes=version))


@pytest.mark.parametrize(
    ("spec", "kind", "since"),
    [
        ({"service": {"trafficDistribution": "PreferClose"}}, "Service", (1, 31)),
        ({"service": {"trafficDistribution": "PreferSameZone"}}, "Service", (1, 31)),
        ({"service": {"trafficDistribution": "PreferSameNode"}}, "Service", (1, 34)),
        (_TOLERANCE, "HorizontalPodAutoscaler", (1, 35)),
    ],
)
def test_a_field_is_sent_and_not_reported_from_the_version_that_knows_it(
    spec: dict[str, Any], kind: str, since: tuple[int, int]
) -> None:
    older = since[0], since[1] - 1
    assert not unsupported_fields(_params(spec, since))
    reported = unsupported_fields(_params(spec, older))
    assert list(reported) == [kind]
    assert f"needs Kubernetes {since[0]}.{since[1]}, this is {older[0]}.{older[1]}" in reported[kind]
    assert build_all(_params(spec, since)) != build_all(_params(spec, older))


@pytest.mark.parametrize(("percent", "written"), [(0, "0"), (5, "50m"), (10, "100m"), (100, "1")])
def test_a_tolerance_is_written_as_the_api_server_writes_it(percent: int, written: str) -> None:
    spec = {"autoscaling": {"behavior": {"scaleDown": {"tolerance": percent}}}}
    children = {child.kind: manifest for child, manifest in build_all(_params(spec, (1, 37))).items()}
    assert children["HorizontalPodAutoscaler"]["spec"]["behavior"]["scaleDown"]["tolerance"] == written


def test_an_object_without_such_fields_reports_nothing_on_the_oldest_version() -> None:
    assert not unsupported_fields(_params({"autoscaling": {}}, (1, 30)))


@pytest.mark.parametrize("value", ["PreferClose", "PreferSameZone"])
@pytest.mark.parametrize(
    ("version", "sent"), [((1, 31), "PreferClose"), ((1, 33), "PreferClose"), ((1, 34), "PreferSameZone")]
)
def test_the_preference_for_a_zone_is_sent_by_the_name_that_the_version_knows(
    value: str, version: tuple[int, int], sent: str
) -> None:
    spec = {"service": {"trafficDistribution": value}}
    children = {child.kind: manifest for child, manifest in build_all(_params(spec, version)).items()}
    assert children["Service"]["spec"]["trafficDistribution"] == sent
