"""Names, columns and subresources of the CRD, and its variant without CEL rules."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.api import GROUP, KIND, PLURAL, VERSION

from tests import crd

if TYPE_CHECKING:
    from types import ModuleType


@pytest.fixture
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", crd.FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _version() -> dict[str, Any]:
    found: dict[str, Any] = crd.load(crd.SOURCE)["spec"]["versions"][0]
    return found


def test_names_are_those_that_the_operator_uses() -> None:
    spec = crd.load(crd.SOURCE)["spec"]
    assert (spec["group"], spec["names"]["kind"], spec["names"]["plural"]) == (GROUP, KIND, PLURAL)
    assert spec["names"]["shortNames"] == ["ic", "icl"]
    assert spec["scope"] == "Namespaced"
    assert [version["name"] for version in spec["versions"]] == [VERSION]
    assert crd.load(crd.SOURCE)["metadata"]["name"] == f"{PLURAL}.{GROUP}"


def test_kubectl_get_shows_the_columns_that_people_look_for() -> None:
    columns = _version()["additionalPrinterColumns"]
    narrow = [column["name"].upper() for column in columns if not column.get("priority")]
    wide = [column["name"].upper() for column in columns if column.get("priority")]
    assert narrow == ["READY", "REASON", "MODEL", "REPLICAS", "URL", "AGE"]
    assert wide == ["PRECISION", "IMAGE"]


def test_kubectl_scale_finds_replicas_and_selector() -> None:
    assert _version()["subresources"] == {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    }


def test_generating_the_variant_again_changes_nothing(generate: ModuleType) -> None:
    assert generate.render(crd.SOURCE.read_text()) == crd.WITHOUT_CEL.read_text()


def test_the_check_tells_a_stale_variant(
    generate: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path / "imageclassifiers.yaml"
    stale.write_text("stale")
    monkeypatch.setattr(generate, "WITHOUT_CEL", stale)
    assert generate.main(["--check"]) == 1
    assert "run python crds/generate.py" in capsys.readouterr().err
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


def test_the_variants_differ_in_cel_rules_only() -> None:
    rules = {path for path, node in crd.nodes(crd.schema()) if "x-kubernetes-validations" in node}
    assert rules == {"spec", "spec.model", "spec.autoscaling", "spec.rollout"}
    document = crd.load(crd.SOURCE)
    for _, node in crd.nodes(document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]):
        node.pop("x-kubernetes-validations", None)
    assert document == crd.load(crd.WITHOUT_CEL)


def test_rules_use_nothing_that_came_after_1_25() -> None:
    for _, node in crd.nodes(crd.schema()):
        for rule in node.get("x-kubernetes-validations", []):
            assert set(rule) == {"rule", "message"}
            assert "quantity(" not in rule["rule"]


def test_rules_read_only_fields_that_are_always_there_or_were_asked_for() -> None:
    for path, node in crd.nodes(crd.schema()):
        for rule in node.get("x-kubernetes-validations", []):
            for name, field in node["properties"].items():
                if f"self.{name}" in rule["rule"]:
                    assert "default" in field or f"has(self.{name})" in rule["rule"], path
