"""An ImageClassifier results in exactly the expected manifests; `--update-golden` writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from imageclassifier_operator.children import CHILDREN

from tests import openapi, pod_security
from tests.golden.cases import CASES, EVERY_FIELD, build


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_an_input_results_in_the_expected_manifests(case: Path, pytestconfig: pytest.Config) -> None:
    file = case / "expected.yaml"
    built = build(case)
    if pytestconfig.getoption("--update-golden", default=False):
        file.write_text(yaml.safe_dump_all(built, sort_keys=False, width=110))
    expected = list(yaml.safe_load_all(file.read_text()))
    assert built == expected, "if the change is intended, run make update-golden and review the diff"


def test_the_manifests_match_the_schemas_of_kubernetes_1_36(case: Path) -> None:
    for manifest in build(case):
        if openapi.has_schema(manifest["apiVersion"]):
            assert not openapi.errors(manifest), manifest["kind"]


def test_pods_meet_the_restricted_pod_security_standard(case: Path) -> None:
    pods = [manifest["spec"]["template"]["spec"] for manifest in build(case) if manifest["kind"] == "Deployment"]
    assert [pod_security.violations(pod) for pod in pods] == [[]]


def test_every_child_is_in_a_golden_file_and_required_children_are_in_all() -> None:
    kinds = [
        {child["kind"] for child in yaml.safe_load_all((case / "expected.yaml").read_text())} for case in CASES
    ]
    assert set.union(*kinds) == {child.kind for child in CHILDREN}
    assert set.intersection(*kinds) == {child.kind for child in CHILDREN if not child.optional}


def test_every_input_has_its_expected_manifests() -> None:
    inputs = {path.parent for path in Path(__file__).parent.glob("*/input.yaml")}
    assert inputs == {case for case in CASES if case.name != EVERY_FIELD.stem}
