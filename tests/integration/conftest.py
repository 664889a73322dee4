"""API servers for the integration tests, of the newest and the oldest supported version."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from e2e.cluster import programs
from e2e.cluster.controlplane import ControlPlane
from tests.integration.operator_harness import (
    SHA,
    Api,
    OperatorCluster,
    service_account_kubeconfig,
    wait_until_established,
)
from tools.errors import ToolError
from tools.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_KUBERNETES = {"newest": programs.KUBERNETES, "oldest": programs.OLDEST}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kubernetes",
        choices=[*_KUBERNETES, "both"],
        default="both",
        help="API server of the integration tests: the newest or the oldest supported version, or both (default)",
    )


def pytest_configure(config: pytest.Config) -> None:
    reason = "needs an API that the oldest supported Kubernetes lacks, or is slow and the same on all versions"
    config.addinivalue_line("markers", f"newest: {reason}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kubernetes" not in metafunc.fixturenames:
        return
    chosen = metafunc.config.getoption("--kubernetes")
    names = list(_KUBERNETES) if chosen == "both" else [chosen]
    metafunc.parametrize("kubernetes", names, indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is not for the oldest server: in CI, a skipped test would be a failure.

    All tests on one server run in the same process, of which `make integration` has two.
    """
    deselected = [item for item in items if item.get_closest_marker("newest") and _server_of(item) == "oldest"]
    items[:] = [item for item in items if item not in deselected]
    config.hook.pytest_deselected(items=deselected)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(str(_server_of(item))))


def _server_of(item: pytest.Item) -> object:
    callspec = getattr(item, "callspec", None)  # only a test with parameters has one
    return None if callspec is None else callspec.params.get("kubernetes")


@pytest.fixture(scope="session")
def kubernetes(request: pytest.FixtureRequest) -> programs.Module:
    """The Kubernetes whose API server a test uses."""
    return _KUBERNETES[request.param]


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory, kubernetes: programs.Module) -> Iterator[ControlPlane]:
    try:
        plane = ControlPlane(tmp_path_factory.mktemp("control-plane"), kubernetes=kubernetes)
    except ToolError as error:
        pytest.skip(f"the API server could not be started: {error}")
    with plane:
        yield plane


@pytest.fixture(scope="session")
def kubeconfig(control_plane: ControlPlane) -> Path:
    return control_plane.kubeconfig


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, kubernetes: programs.Module) -> Iterator[OperatorCluster]:
    directory = tmp_path_factory.mktemp("operator")
    catalogue = directory / "catalogue.yaml"
    catalogue.write_text(
        json.dumps({"cifar10-mobilenet-v2": {"uris": ["bundled:cifar10-mobilenet-v2"], "sha256": SHA}})
    )
    with ControlPlane(directory / "plane", controller_manager=True, kubernetes=kubernetes) as plane:
        admin = Api(plane.kubeconfig)
        admin.run("apply", "-k", str(REPOSITORY / "operator/deploy"))
        wait_until_established(admin, "imageclassifiers.imageclassifier.dev")
        yield OperatorCluster(
            plane=plane, catalogue=catalogue, operator_kubeconfig=service_account_kubeconfig(plane)
        )


@pytest.fixture
def api(cluster: OperatorCluster) -> Api:
    """kubectl for a new namespace."""
    return cluster.fresh_namespace()


@pytest.fixture(autouse=True)
def _delete_objects(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "cluster" in request.fixturenames:
        cluster: OperatorCluster = request.getfixturevalue("cluster")
        cluster.delete_objects()
