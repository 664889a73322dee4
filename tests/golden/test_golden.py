"""An ImageClassifier results in exactly the expected manifests; `--update-golden` writes them.

Each folder is a case: `input.yaml`, `expected.yaml`, and `capabilities.yaml` if the API server lacks an API. The
input of the case every-field is the sample of that name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from imageclassifier_operator.api import CatalogueEntry, OperatorConfig, parse
from imageclassifier_operator.children import CHILDREN, build_all
from imageclassifier_operator.manifests import Capabilities, Params

from tests import crd, openapi, pod_security

_CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/expected.yaml"))
_EVERY_FIELD = crd.ROOT / "crds" / "samples" / "valid" / "every-field.yaml"
_CATALOGUE = {
    "cifar10-mobilenet-v2": CatalogueEntry(uris=("bundled:cifar10-mobilenet-v2",), sha256="c1fa" * 16),
    "mobilenet-v2": CatalogueEntry(
        uris=("https://one.example.org/m.onnx", "https://two.example.org/m.onnx"), sha256="0e75" * 16
    ),
}
_UID = "5f0e2c1a-7d5b-4a43-9c55-3d2f8a6f1b10"


def _build(case: Path) -> list[dict[str, Any]]:
    source = _EVERY_FIELD if case.name == _EVERY_FIELD.stem else case / "input.yaml"
    stored = crd.defaulted(crd.load(source), crd.schema())
    stored["metadata"] = {"namespace": "vision", "uid": _UID, "generation": 1, **stored["metadata"]}
    config = OperatorConfig(runtime_image="imageclassifier-runtime:test", catalogue=_CATALOGUE)
    file = case / "capabilities.yaml"
    capabilities = Capabilities(**crd.load(file)) if file.exists() else Capabilities()
    params = Params(ic=parse(stored, config=config), config=config, capabilities=capabilities)
    return list(build_all(params).values())


@pytest.fixture(params=_CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_an_input_results_in_the_expected_manifests(case: Path, pytestconfig: pytest.Config) -> None:
    file = case / "expected.yaml"
    built = _build(case)
    if pytestconfig.getoption("--update-golden", default=False):
        file.write_text(yaml.safe_dump_all(built, sort_keys=False, width=110))
    expected = list(yaml.safe_load_all(file.read_text()))
    assert built == expected, "if the change is intended, run make update-golden and review the diff"


def test_the_manifests_match_the_schemas_of_kubernetes_1_36(case: Path) -> None:
    for manifest in _build(case):
        if openapi.has_schema(manifest["apiVersion"]):
            assert not openapi.errors(manifest), manifest["kind"]


def test_pods_meet_the_restricted_pod_security_standard(case: Path) -> None:
    pods = [manifest["spec"]["template"]["spec"] for manifest in _build(case) if manifest["kind"] == "Deployment"]
    assert [pod_security.violations(pod) for pod in pods] == [[]]


def test_every_child_is_in_a_golden_file_and_required_children_are_in_all() -> None:
    kinds = [
        {child["kind"] for child in yaml.safe_load_all((case / "expected.yaml").read_text())} for case in _CASES
    ]
    assert set.union(*kinds) == {child.kind for child in CHILDREN}
    assert set.intersection(*kinds) == {child.kind for child in CHILDREN if not child.optional}


def test_every_input_has_its_expected_manifests() -> None:
    inputs = {path.parent for path in Path(__file__).parent.glob("*/input.yaml")}
    assert inputs == {case for case in _CASES if case.name != _EVERY_FIELD.stem}
