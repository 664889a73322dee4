"""The CRD of HTTPRoutes comes from the pinned Go module, or an error says why not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from e2e.cluster import gateway_api, golang
from e2e.cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    gateway_api.http_route_crd.cache_clear()
    yield
    gateway_api.http_route_crd.cache_clear()


def _go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, prints: dict[str, Any] | None, status: int = 0
) -> None:
    """Replace Go by a program that prints this, and writes its arguments and folder to a file."""
    text = "" if prints is None else json.dumps(prints)
    program = tmp_path / "go"
    lines = [f'echo "$PWD $*" >> {tmp_path / "calls"}', f"echo '{text}'", "echo no network >&2", f"exit {status}"]
    program.write_text("\n".join(["#!/bin/sh", *lines]))
    program.chmod(0o755)
    monkeypatch.setattr(golang, "ensure", lambda minimum: golang.Go(program))


def test_the_file_is_in_the_folder_of_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _go(tmp_path, monkeypatch, prints={"Dir": "/modules/gateway-api@v1"})
    for _ in range(2):
        path = gateway_api.http_route_crd()
    assert path.parts[:3] == ("/", "modules", "gateway-api@v1")
    assert path.name == "gateway.networking.k8s.io_httproutes.yaml"
    expected = f"{gateway_api.MODULE.folder} mod download -json sigs.k8s.io/gateway-api\n"
    assert (tmp_path / "calls").read_text() == expected  # asked once, in the folder that pins the version


@pytest.mark.parametrize(
    ("prints", "reason"), [(None, "no network"), ({"Error": "checksum mismatch"}, "checksum mismatch")]
)
def test_a_module_that_cannot_be_fetched_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prints: dict[str, Any] | None, reason: str
) -> None:
    _go(tmp_path, monkeypatch, prints=prints, status=1)
    with pytest.raises(ClusterError, match=reason):
        gateway_api.http_route_crd()


def test_the_module_and_its_checksums_are_pinned() -> None:
    version = gateway_api.MODULE.version
    sums = (gateway_api.MODULE.folder / "go.sum").read_text().splitlines()
    assert [line.rpartition(" h1:")[0] for line in sums] == [
        f"{gateway_api.MODULE.release} {version}",
        f"{gateway_api.MODULE.release} {version}/go.mod",
    ]
