"""Both variants of the CRD are what the newest Kubernetes takes for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import crd, openapi

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("path", [crd.SOURCE, crd.WITHOUT_CEL], ids=lambda path: path.parent.name)
def test_the_newest_kubernetes_takes_the_definition(path: Path) -> None:
    assert not openapi.errors(crd.load(path))


def test_a_field_that_kubernetes_does_not_know_is_noticed() -> None:
    definition = crd.load(crd.SOURCE)
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["minimun"] = 1
    definition["spec"]["names"]["short"] = "ic"
    errors = openapi.errors(definition)
    assert any("'minimun' was unexpected" in error for error in errors)
    assert any("'short' was unexpected" in error for error in errors)
