"""One API server for all integration tests of a run; each test keeps to a namespace of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.cluster.controlplane import ControlPlane
from e2e.cluster.errors import ClusterError

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
