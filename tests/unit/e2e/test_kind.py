"""The commands with which kind creates the cluster; these tests do not run kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e import kind
from e2e.cluster.errors import ClusterError
from tools.images import build

if TYPE_CHECKING:
    from pathlib import Path


class _Machine:
    """Fake kind and docker that record their arguments, with given output and exit status."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._log = folder / "calls"
        (folder / "bin").mkdir()
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        self.program("kind")
        self.program("docker")

    def program(self, name: str, *, prints: str = "", status: int = 0) -> None:
        path = self._folder / "bin" / name
        path.write_text(f'#!/bin/sh\necho {name} "$@" >> {self._log}\necho "{prints}"\nexit {status}\n')
        path.chmod(0o755)

    def calls(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Machine:
    return _Machine(tmp_path, monkeypatch)


def test_kind_is_usable_if_a_docker_engine_responds(machine: _Machine) -> None:
    assert kind.usable()


def test_kind_is_not_usable_with_a_docker_client_alone(machine: _Machine) -> None:
    machine.program("docker", status=1)
    assert not kind.usable()


def test_a_cluster_is_created_with_its_own_kubeconfig(machine: _Machine) -> None:
    kind.up()
    options = f"--name imageclassifier --kubeconfig {kind.kubeconfig_path()}"
    assert machine.calls() == ["kind get clusters", f"kind create cluster {options} --wait 180s"]


def test_an_existing_cluster_is_reused(machine: _Machine) -> None:
    machine.program("kind", prints="imageclassifier")
    kind.up()
    assert not any("create" in call for call in machine.calls())


def test_images_are_built_by_docker_and_loaded_into_the_node(machine: _Machine) -> None:
    names = kind.load_images()
    assert names == {image: build.name(image) for image in build.IMAGES}
    calls = machine.calls()
    for image, name in names.items():
        assert f"docker build --quiet --file=Dockerfile.{image} --tag={name} ." in calls
    assert calls[-1] == f"kind load docker-image --name imageclassifier {' '.join(names.values())}"


def test_kinds_output_may_be_invalid_utf_8(machine: _Machine) -> None:
    machine.program("kind", prints="$(printf '\\377\\376')")
    assert not kind.running()


def test_the_error_for_a_program_that_cannot_be_started_names_it(machine: _Machine, tmp_path: Path) -> None:
    (tmp_path / "bin" / "kind").write_bytes(b"")
    with pytest.raises(ClusterError, match="kind could not be started"):
        kind.running()


def test_without_a_cluster_there_is_nothing_to_delete(machine: _Machine) -> None:
    kind.down()
    assert machine.calls() == []


def test_the_cluster_is_deleted_by_its_name(machine: _Machine) -> None:
    kind.kubeconfig_path().parent.mkdir(parents=True)
    kind.kubeconfig_path().touch()
    kind.down()
    assert machine.calls() == [f"kind delete cluster --name imageclassifier --kubeconfig {kind.kubeconfig_path()}"]


def test_the_error_for_a_failed_command_has_its_output(machine: _Machine) -> None:
    machine.program("kind", prints="no space left on device", status=1)
    with pytest.raises(ClusterError, match=r"(?s)kind get clusters failed:.*no space left"):
        kind.up()
