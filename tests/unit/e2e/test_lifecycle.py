"""The commands that start and stop a cluster return their result as the exit status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e import lifecycle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def local_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a local cluster that does not exist, on a machine without Docker."""
    for name in ("E2E_KUBECONFIG", "E2E_CONTEXT", "E2E_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("IMAGECLASSIFIER_CLUSTER_DIR", str(tmp_path / "cluster"))
    return tmp_path / "cluster"


def test_a_local_cluster_exists_if_its_folder_exists(local_cluster: Path) -> None:
    assert lifecycle.main(["exists"]) == 3
    local_cluster.mkdir()
    assert lifecycle.main(["exists"]) == 0


def test_your_own_cluster_exists_and_is_never_started_or_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "kubeconfig").touch()
    monkeypatch.setenv("E2E_KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("E2E_CONTEXT", "mine")
    assert [lifecycle.main([command]) for command in ("exists", "up", "down")] == [0, 0, 0]


def test_the_local_cluster_needs_root(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert lifecycle.main(["obstacle"]) == 0
    assert "needs root" in capsys.readouterr().out
    assert lifecycle.main(["up"]) == 1
    assert "error: the local cluster needs root" in capsys.readouterr().err


def test_root_can_start_the_local_cluster(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert lifecycle.main(["obstacle"]) == 0
    assert capsys.readouterr().out.strip() == ""


def test_a_context_without_a_kubeconfig_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("E2E_CONTEXT", "mine")
    assert lifecycle.main(["exists"]) == 1
    assert "go together" in capsys.readouterr().err
