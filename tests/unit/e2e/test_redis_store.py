"""The Redis of the scenarios: its archive has all files that it needs, and its Service selects its pod."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from e2e import redis_store

if TYPE_CHECKING:
    from pathlib import Path


def test_the_archive_contains_a_working_redis(tmp_path: Path) -> None:
    if shutil.which("redis-check-rdb") is None:
        pytest.skip("redis-check-rdb is not installed: install Debian's package redis-tools")
    with tarfile.open(fileobj=io.BytesIO(redis_store.archive()), mode="r|") as packed:
        packed.extractall(tmp_path)
    libraries = {file.name for file in (tmp_path / "lib").iterdir()}
    assert "libjemalloc.so.2" in libraries
    assert not libraries & {"libc.so.6", "libm.so.6"}
    command = ["redis-server", "--version"]
    done = subprocess.run(
        command,
        executable=tmp_path / "redis-check-rdb",
        env={"LD_LIBRARY_PATH": str(tmp_path / "lib")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("Redis server v=")


def test_the_archive_contains_a_certificate_and_its_key(tmp_path: Path) -> None:
    if shutil.which("redis-check-rdb") is None:
        pytest.skip("redis-check-rdb is not installed: install Debian's package redis-tools")
    certificate = tmp_path / "redis.crt"
    certificate.write_text("certificate")
    certificate.with_suffix(".key").write_text("key")
    with tarfile.open(fileobj=io.BytesIO(redis_store.archive(certificate)), mode="r|") as packed:
        packed.extractall(tmp_path / "redis")
    assert (tmp_path / "redis" / "tls.crt").read_text() == "certificate"
    assert (tmp_path / "redis" / "tls.key").read_text() == "key"


def test_the_url_is_that_of_the_service() -> None:
    deployment, service = redis_store.manifests("vision", "runtime:test")
    port = service["spec"]["ports"][0]["port"]
    assert redis_store.url("vision") == f"redis://{service['metadata']['name']}.vision.svc:{port}"
    assert redis_store.url("vision", tls=True) == f"rediss://{redis_store.host('vision')}:{port}"
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels
