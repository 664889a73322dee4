"""The chart's CRD and the manifests of `operator/deploy` are current."""

from __future__ import annotations

import pytest
import yaml

from tests import crd
from tools import chart


def test_the_crd_of_the_chart_is_current() -> None:
    assert chart.CRD_TEMPLATE.read_text() == chart.crd_template(), "run make generate"


@pytest.mark.parametrize("name", sorted(chart.deploy_files()))
def test_a_manifest_of_operator_deploy_is_current(name: str) -> None:
    assert (chart.DEPLOY / name).read_text() == chart.deploy_files()[name], "run make generate"


def test_every_manifest_that_kustomize_installs_is_generated_except_the_namespace() -> None:
    resources = crd.load(chart.DEPLOY / "kustomization.yaml")["resources"]
    generated = {*chart.deploy_files(), "namespace.yaml", "../../crds"}
    assert {*resources, "catalogue.yaml"} == generated


def test_the_manifests_of_operator_deploy_have_nothing_of_helm() -> None:
    for text in chart.deploy_files().values():
        assert "helm" not in text.lower().replace("imageclassifier-operator", "")


def test_the_rendered_crd_is_the_generated_one_and_kept() -> None:
    (rendered,) = chart.objects("crd.yaml", chart.render()["crd.yaml"])
    assert rendered["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert rendered == yaml.safe_load(crd.DEFINITION.read_text())


def test_a_crd_that_helm_would_read_as_a_template_is_refused(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path_factory.mktemp("crds") / "imageclassifiers.yaml"
    file.write_text(crd.DEFINITION.read_text().replace("description: ", "description: '{{ x }}' # ", 1))
    monkeypatch.setattr(chart, "CRD", file)
    with pytest.raises(ValueError, match="braces"):
        chart.crd_template()
