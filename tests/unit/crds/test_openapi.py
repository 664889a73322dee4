"""The CRD is what the newest Kubernetes takes for one."""

from __future__ import annotations

from tests import crd, openapi


def test_the_newest_kubernetes_takes_the_definition() -> None:
    assert not openapi.errors(crd.load(crd.SOURCE))


def test_a_field_that_kubernetes_does_not_know_is_noticed() -> None:
    definition = crd.load(crd.SOURCE)
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["minimun"] = 1
    definition["spec"]["names"]["short"] = "ic"
    errors = openapi.errors(definition)
    assert any("'minimun' was unexpected" in error for error in errors)
    assert any("'short' was unexpected" in error for error in errors)
