"""A values file of the chart renders exactly the expected manifests; `--update-golden` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import crd
from tools import chart

EXPECTED = Path(__file__).parent / "chart"
VALUES = sorted(chart.CHART.glob("ci/*.yaml"))
_SCRIPT = chart.CHART / "files" / "prediction.py"


def _abbreviated(node: Any, texts: dict[str, Any]) -> Any:
    """The node with names in place of what is long, and the same in all renderings."""
    for name, text in texts.items():
        if node == text:
            return f"<{name}>"
    if isinstance(node, list):
        return [_abbreviated(item, texts) for item in node]
    return {key: _abbreviated(item, texts) for key, item in node.items()} if isinstance(node, dict) else node


def _rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    roles = chart.objects("rbac.yaml", (chart.DEPLOY / "rbac.yaml").read_text())
    (rules,) = [item["rules"] for item in roles if item["kind"] == "ClusterRole"]
    (definition,) = chart.objects("crd.yaml", chart.render()["crd.yaml"])
    texts = {
        "files/prediction.py": _SCRIPT.read_text(),
        "the rules of operator/deploy/rbac.yaml": rules,
        "the CRD": definition["spec"],
    }
    rendered = chart.render(values, namespace="platform")
    manifests = [item for path, text in rendered.items() for item in chart.objects(path, text)]
    return [_abbreviated(item, texts) for item in manifests]


@pytest.mark.parametrize("values", VALUES, ids=lambda file: file.stem)
def test_a_values_file_renders_the_expected_manifests(values: Path, pytestconfig: pytest.Config) -> None:
    found = _rendered(crd.load(values))
    file = EXPECTED / values.name
    if pytestconfig.getoption("--update-golden", default=False):
        file.write_text(yaml.safe_dump_all(found, sort_keys=False, width=110, default_flow_style=None))
    expected = list(yaml.safe_load_all(file.read_text()))
    assert found == expected, "if the change is intended, run make update-golden and review the diff"


def test_every_expectation_has_its_values_file() -> None:
    assert {file.name for file in EXPECTED.iterdir()} == {file.name for file in VALUES}
