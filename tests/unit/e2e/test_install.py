"""The installed manifests have the cluster's image names, and a trimmed ServiceMonitor CRD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml

from e2e.cluster.errors import ClusterError
from e2e.install import install, release_values, service_monitor_crd
from tests.openapi import SHARED
from tools import chart

if TYPE_CHECKING:
    from e2e.kube import Kube

IMAGES = {"operator": "registry.example.org:5000/o:1", "runtime": "registry.example.org:5000/r:2"}


def _installed(keys: dict[str, str]) -> dict[str, Any]:
    rendered = chart.render(release_values(images=IMAGES, keys=keys))
    (deployment,) = chart.objects("deployment.yaml", rendered["deployment.yaml"])
    template: dict[str, Any] = deployment["spec"]["template"]
    return template


def test_both_images_have_the_clusters_names() -> None:
    (container,) = _installed({"operator": "a", "runtime": "b"})["spec"]["containers"]
    assert container["image"] == IMAGES["operator"]
    values = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert values["IMAGECLASSIFIER_OPERATOR_RUNTIME_IMAGE"] == IMAGES["runtime"]


def test_a_changed_image_under_the_same_name_restarts_the_operator() -> None:
    first = _installed({"operator": "a", "runtime": "b"})["metadata"]["annotations"]
    second = _installed({"operator": "c", "runtime": "b"})["metadata"]["annotations"]
    assert first != second


def test_an_operator_that_kustomize_installed_is_not_replaced() -> None:
    class Cluster:
        def get(self, *_: str, namespace: str) -> dict[str, Any]:
            manifest: dict[str, Any] = yaml.safe_load((chart.DEPLOY / "deployment.yaml").read_text())
            return manifest

    with pytest.raises(ClusterError, match="not installed with Helm"):
        install(cast("Kube", Cluster()), IMAGES)


def test_the_trimmed_service_monitor_is_labelled() -> None:
    crd = service_monitor_crd()
    assert crd["metadata"]["name"] == "servicemonitors.monitoring.coreos.com"
    assert crd["metadata"]["labels"] == {"imageclassifier.dev/cut-down-for-tests": "true"}


def test_the_trimmed_service_monitor_is_a_subset_of_the_full_one() -> None:
    if not SHARED.is_dir():
        pytest.skip(f"the full CRD is not in {SHARED}: set IMAGECLASSIFIER_SHARED")
    full = yaml.safe_load((SHARED / "crds" / "servicemonitors.yaml").read_text())
    assert _differences(_schema(service_monitor_crd()), _schema(full)) == []


def _schema(crd: dict[str, Any]) -> dict[str, Any]:
    (version,) = (version for version in crd["spec"]["versions"] if version["name"] == "v1")
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return found


def _differences(ours: dict[str, Any], full: dict[str, Any], path: str = "") -> list[str]:
    """Return the paths at which the trimmed schema differs from the full one, except for missing properties."""
    found = []
    for key, value in ours.items():
        here = f"{path}.{key}"
        if isinstance(value, dict) and isinstance(full.get(key), dict):
            found += _differences(value, full[key], here)
        elif value != full.get(key):
            found.append(here)
    return found
