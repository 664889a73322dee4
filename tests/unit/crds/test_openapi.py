"""The CRD matches the schema that Kubernetes 1.36 has for CRDs."""

from __future__ import annotations

from tests import crd, openapi


def test_the_crd_matches_the_schema_of_kubernetes_1_36() -> None:
    assert not openapi.errors(crd.load(crd.DEFINITION))


def test_an_unknown_field_is_detected() -> None:
    definition = crd.load(crd.DEFINITION)
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["minimun"] = 1
    definition["spec"]["names"]["short"] = "ic"
    errors = openapi.errors(definition)
    assert any("'minimun' was unexpected" in error for error in errors)
    assert any("'short' was unexpected" in error for error in errors)
