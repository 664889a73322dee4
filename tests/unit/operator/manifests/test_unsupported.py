"""Fields that an older Kubernetes drops silently are left out, and a condition reports them."""

from __future__ import annotations

from typing import Any

import pytest
from imageclassifier_operator.children import unsupported_fields
from imageclassifier_operator.manifests import Capabilities

from tests.unit.operator.manifests.building import built, params_for

_TOLERANCE = {"autoscaling": {"behavior": {"scaleUp": {"tolerance": 5}}}}


def _unsupported(spec: dict[str, Any], version: tuple[int, int]) -> dict[str, str]:
    return unsupported_fields(params_for(spec, capabilities=Capabilities(kubernetes=version)))


def _built(spec: dict[str, Any], version: tuple[int, int]) -> dict[str, dict[str, Any]]:
    return built(spec, capabilities=Capabilities(kubernetes=version))


@pytest.mark.parametrize(
    ("spec", "kind", "since"),
    [
        ({"service": {"trafficDistribution": "PreferClose"}}, "Service", (1, 31)),
        ({"service": {"trafficDistribution": "PreferSameZone"}}, "Service", (1, 31)),
        ({"service": {"trafficDistribution": "PreferSameNode"}}, "Service", (1, 34)),
        (_TOLERANCE, "HorizontalPodAutoscaler", (1, 35)),
        ({"runtime": {"hostUsers": False}}, "Deployment", (1, 33)),
    ],
)
def test_a_field_is_sent_and_not_reported_from_the_version_that_knows_it(
    spec: dict[str, Any], kind: str, since: tuple[int, int]
) -> None:
    older = since[0], since[1] - 1
    assert not _unsupported(spec, since)
    reported = _unsupported(spec, older)
    assert list(reported) == [kind]
    assert f"needs Kubernetes {since[0]}.{since[1]}, this is {older[0]}.{older[1]}" in reported[kind]
    assert _built(spec, since) != _built(spec, older)


@pytest.mark.parametrize(("percent", "written"), [(0, "0"), (5, "50m"), (10, "100m"), (100, "1")])
def test_a_tolerance_is_written_as_the_api_server_writes_it(percent: int, written: str) -> None:
    spec = {"autoscaling": {"behavior": {"scaleDown": {"tolerance": percent}}}}
    autoscaler = _built(spec, (1, 37))["HorizontalPodAutoscaler"]
    assert autoscaler["spec"]["behavior"]["scaleDown"]["tolerance"] == written


def test_an_object_without_such_fields_reports_nothing_on_the_oldest_version() -> None:
    assert not _unsupported({"autoscaling": {}}, (1, 30))


@pytest.mark.parametrize("value", ["PreferClose", "PreferSameZone"])
@pytest.mark.parametrize(
    ("version", "sent"), [((1, 31), "PreferClose"), ((1, 33), "PreferClose"), ((1, 34), "PreferSameZone")]
)
def test_the_preference_for_a_zone_is_sent_by_the_name_that_the_version_knows(
    value: str, version: tuple[int, int], sent: str
) -> None:
    spec = {"service": {"trafficDistribution": value}}
    assert _built(spec, version)["Service"]["spec"]["trafficDistribution"] == sent
