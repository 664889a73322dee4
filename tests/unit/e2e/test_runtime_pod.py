"""A Python program runs in a helper pod through `kubectl exec`."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from e2e.cluster import kubectl as module
from e2e.kube import Kube
from e2e.runtime_pod import PYTHON, RuntimePod
from e2e.target import Target

_POD = RuntimePod(
    name="store",
    container="server",
    command=(PYTHON,),
    port_name="http",
    container_port=8000,
    service_port=80,
    probe={},
    volume_name="files",
    volume={"emptyDir": {}},
    mount_path="/files",
)
_OPTIONS = ["--kubeconfig=file", "--context=mine"]
_PYTHON = ["--namespace=vision", "deploy/store", "--", PYTHON, "-c", "print()", "a", "b"]


@pytest.fixture
def kube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kube:
    """A cluster whose kubectl prints its arguments, one a line, and then its input."""
    path = tmp_path / "kubectl"
    path.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\ncat\n")
    path.chmod(0o755)
    monkeypatch.setattr(module, "KUBECTL", str(path))
    return Kube(Target(kubeconfig=Path("file"), context="mine"), Path("unused"), httpx.Client())


def test_a_program_gets_its_arguments_and_no_input(kube: Kube) -> None:
    output = _POD.run_python(kube, "vision", "print()", "a", "b")
    assert output.splitlines() == [*_OPTIONS, "exec", *_PYTHON]


def test_a_program_gets_its_input(kube: Kube) -> None:
    output = _POD.run_python(kube, "vision", "print()", "a", "b", stdin=b"input")
    assert output.splitlines() == [*_OPTIONS, "exec", "-i", *_PYTHON, "input"]
