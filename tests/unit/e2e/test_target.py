"""The target cluster is never guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.cluster.errors import ClusterError
from e2e.cluster.kubectl import KUBECTL
from e2e.kube import kubectl_command
from e2e.target import target_from

if TYPE_CHECKING:
    from pathlib import Path


def test_the_default_is_the_local_cluster_whatever_kubeconfig_is_set() -> None:
    target = target_from({"KUBECONFIG": "/home/me/.kube/config"}, docker_responds=lambda: False)
    assert target.local
    assert not target.kind
    assert target.context == "imageclassifier-local"
    assert str(target.kubeconfig).endswith("imageclassifier-cluster/kubeconfig")


def test_with_docker_the_default_is_a_kind_cluster_with_its_own_kubeconfig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("IMAGECLASSIFIER_CLUSTER_DIR", str(tmp_path / "none"))
    target = target_from({}, docker_responds=lambda: True)
    assert target.kind
    assert not target.local
    assert target.context == "kind-imageclassifier"
    assert target.kubeconfig.is_relative_to(tmp_path)


def test_a_running_local_cluster_is_preferred_to_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGECLASSIFIER_CLUSTER_DIR", str(tmp_path))
    assert target_from({}, docker_responds=lambda: True).local


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    path = tmp_path / "config"
    path.write_text("{}")
    return str(path)


def test_the_cluster_in_the_environment_is_used(kubeconfig: str) -> None:
    env = {"E2E_KUBECONFIG": kubeconfig, "E2E_CONTEXT": "kind-a", "E2E_REGISTRY": "registry.example.org/team/"}
    target = target_from(env)
    assert not target.local
    assert target.registry == "registry.example.org/team"
    assert not target.insecure_registry
    command = kubectl_command(target, "get", "pods")
    assert command == [KUBECTL, f"--kubeconfig={kubeconfig}", "--context=kind-a", "get", "pods"]


def test_a_kubeconfig_without_a_context_is_rejected(kubeconfig: str) -> None:
    with pytest.raises(ClusterError, match="go together"):
        target_from({"E2E_KUBECONFIG": kubeconfig})


def test_a_context_without_a_kubeconfig_is_rejected() -> None:
    with pytest.raises(ClusterError, match="go together"):
        target_from({"E2E_CONTEXT": "kind-a"})


def test_a_registry_alone_is_rejected() -> None:
    with pytest.raises(ClusterError, match="E2E_REGISTRY"):
        target_from({"E2E_REGISTRY": "registry.example.org"})


def test_a_kubeconfig_that_does_not_exist_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no such file"):
        target_from({"E2E_KUBECONFIG": str(tmp_path / "none"), "E2E_CONTEXT": "kind-a"})
