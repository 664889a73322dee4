"""Makes the image of the container that holds a pod's namespaces open, with no registry and no builder."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile
import tempfile
from pathlib import Path

from e2e.cluster import apt
from e2e.cluster.errors import ClusterError
from e2e.cluster.paths import cache_dir

NAME = "imageclassifier.local/pause:1"
SOURCE = Path(__file__).parent / "pause" / "main.go"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def ensure() -> Path:
    """The image as a docker-archive; compiled when the cache has none of this source."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    archive = cache_dir() / "pause" / f"pause-{digest}.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        apt.install(["golang-go"])
        with tempfile.TemporaryDirectory(dir=archive.parent) as work:
            program = _compile(Path(work))
            staged = Path(work) / "pause.tar"
            staged.write_bytes(docker_archive(program.read_bytes(), architecture()))
            staged.rename(archive)
    return archive


def architecture() -> str:
    """The machine's architecture as images name it."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def _compile(work: Path) -> Path:
    program = work / "pause"
    done = subprocess.run(
        ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(program), SOURCE.name],
        cwd=SOURCE.parent,
        env={
            **os.environ,
            "CGO_ENABLED": "0",
            "GO111MODULE": "off",
            "GOCACHE": str(work / "gocache"),
            "GOPATH": str(work / "go"),
            "GOFLAGS": "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ClusterError(f"could not compile {SOURCE}:\n{done.stderr}")
    return program


def docker_archive(program: bytes, architecture: str) -> bytes:
    """An image with one file, as `docker save` would write it."""
    layer = _tar({"pause": program}, mode=0o755)
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
            "history": [{"created_by": "pause"}],
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [NAME], "Layers": ["layer.tar"]}]).encode()
    return _tar({config_name: config, "layer.tar": layer, "manifest.json": manifest}, mode=0o644)


def _tar(files: dict[str, bytes], *, mode: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()
