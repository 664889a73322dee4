"""One API server for all integration tests of a run; each test keeps to a namespace of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from e2e.cluster.controlplane import ControlPlane
from e2e.cluster.errors import ClusterError
from e2e.cluster.paths import REPOSITORY
from tests.integration.operator_harness import SHA, Api, Bench, service_account_kubeconfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    try:
        plane = ControlPlane(tmp_path_factory.mktemp("control-plane"))
    except ClusterError as error:
        pytest.skip(f"no API server here: {error}")
    with plane:
        yield plane


@pytest.fixture(scope="session")
def kubeconfig(control_plane: ControlPlane) -> Path:
    return control_plane.kubeconfig


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("operator")
    catalogue = directory / "catalogue.yaml"
    catalogue.write_text(
        json.dumps({"cifar10-mobilenet-v2": {"uris": ["bundled:cifar10-mobilenet-v2"], "sha256": SHA}})
    )
    with ControlPlane(directory / "plane", controller_manager=True) as plane:
        admin = Api(plane.kubeconfig)
        admin.run("apply", "-k", str(REPOSITORY / "operator/deploy"))
        admin.run("wait", "--for=condition=Established", "crd/imageclassifiers.imageclassifier.dev")
        yield Bench(plane=plane, catalogue=catalogue, operator_kubeconfig=service_account_kubeconfig(plane))
