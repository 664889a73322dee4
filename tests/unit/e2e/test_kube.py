"""A warning or an error of the API server is never treated as success."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from e2e.cluster import kubectl as module
from e2e.cluster.api import ServerWarningError, WatchError
from e2e.cluster.kubectl import KubectlError, run_kubectl
from e2e.kube import Kube
from e2e.target import target_from

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Returns a function that replaces kubectl with a script."""

    def replace(script: str) -> None:
        path = tmp_path / "kubectl"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(module, "KUBECTL", str(path))

    return replace


def test_kubectls_output_is_returned(kubectl: Callable[[str], None]) -> None:
    kubectl('echo "$*"; echo "error: none" >&2')
    assert run_kubectl(["get", "ic"], options=["--context=a"]) == "--context=a get ic\n"


def test_a_warning_from_kubectl_is_an_error(kubectl: Callable[[str], None]) -> None:
    kubectl('echo found; echo "Warning: v1 Endpoints is deprecated in v1.33+" >&2')
    with pytest.raises(ServerWarningError, match="kubectl get endpoints: Warning: v1 Endpoints is deprecated"):
        run_kubectl(["get", "endpoints"], options=[])


def test_a_warning_handler_can_accept_warnings(kubectl: Callable[[str], None]) -> None:
    kubectl('echo found; echo "Warning: unpinned image" >&2')
    warned: list[str] = []
    assert run_kubectl(["get", "ic"], options=[], on_warning=warned.append) == "found\n"
    assert warned == ["kubectl get ic: Warning: unpinned image"]


def test_the_error_for_a_failure_of_kubectl_has_its_message(kubectl: Callable[[str], None]) -> None:
    kubectl('echo "not found" >&2; exit 1')
    with pytest.raises(KubectlError, match="not found"):
        run_kubectl(["get", "ic"], options=[])


def _kube(response: httpx.Response) -> Kube:
    transport = httpx.MockTransport(lambda _: response)
    return Kube(target_from({}), Path("unused"), httpx.Client(base_url="http://a", transport=transport))


def test_a_response_with_a_warning_is_an_error() -> None:
    kube = _kube(httpx.Response(200, json={}, headers={"Warning": '299 - "deprecated"'}))
    with pytest.raises(ServerWarningError, match=r"GET /api/v1/pods/a: 299 - .deprecated."):
        kube.get("pods", "a")


def test_an_error_event_in_a_watch_is_not_returned_as_the_object() -> None:
    status = {"kind": "Status", "code": 410, "message": "too old resource version"}
    lines = [{"type": "ADDED", "object": {"kind": "Pod"}}, {"type": "ERROR", "object": status}]
    kube = _kube(httpx.Response(200, text="\n".join(json.dumps(line) for line in lines)))
    states = kube.watch("pods", namespace="n", name="a", timeout_seconds=1)
    assert next(states) == {"kind": "Pod"}
    with pytest.raises(WatchError, match="watch of pods a: too old resource version"):
        next(states)
