"""The manifests that are installed fit the server and name the images as that cluster has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster.paths import REPOSITORY
from e2e.install import overlay, service_monitor_crd, with_images

DEPLOYMENT = REPOSITORY / "operator" / "deploy" / "base" / "deployment.yaml"
IMAGES = {"operator": "registry.example.org/o:1", "runtime": "registry.example.org/r:1"}


@pytest.mark.parametrize(("minor", "folder"), [(20, "pre-1.25"), (24, "pre-1.25"), (25, ""), (36, "")])
def test_servers_get_the_crd_that_they_understand(minor: int, folder: str) -> None:
    assert overlay(minor) == Path("operator/deploy") / folder


def _installed(keys: dict[str, str]) -> dict[str, Any]:
    found = list(yaml.safe_load_all(DEPLOYMENT.read_text()))
    (deployment,) = with_images(found, images=IMAGES, keys=keys)
    template: dict[str, Any] = deployment["spec"]["template"]
    return template


def test_both_images_are_named_as_the_cluster_has_them() -> None:
    (container,) = _installed({"operator": "a", "runtime": "b"})["spec"]["containers"]
    assert container["image"] == IMAGES["operator"]
    values = {variable["name"]: variable["value"] for variable in container["env"]}
    assert values["IMAGECLASSIFIER_OPERATOR_RUNTIME_IMAGE"] == IMAGES["runtime"]


def test_other_bytes_under_the_same_name_start_the_operator_anew() -> None:
    first = _installed({"operator": "a", "runtime": "b"})["metadata"]["annotations"]
    second = _installed({"operator": "c", "runtime": "b"})["metadata"]["annotations"]
    assert first != second


def test_objects_without_pods_stay_as_they_are() -> None:
    namespace = {"kind": "Namespace", "metadata": {"name": "imageclassifier-system"}}
    assert with_images([namespace], images=IMAGES, keys={"operator": "a", "runtime": "b"}) == [namespace]


def test_the_cut_down_service_monitor_is_marked_as_ours() -> None:
    crd = service_monitor_crd()
    assert crd["metadata"]["name"] == "servicemonitors.monitoring.coreos.com"
    assert crd["metadata"]["labels"] == {"imageclassifier.dev/cut-down-for-tests": "true"}
