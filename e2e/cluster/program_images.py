"""Creates the images of the cluster's own pods: one static program each, without registry or builder."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from e2e.cluster import golang, programs
from tools.paths import cache_dir

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ProgramImage:
    """An image that holds one program, under the name that manifests use."""

    module: programs.Module

    @property
    def program(self) -> str:
        """The program's name, and the path it has in the image."""
        return self.module.programs[0]

    @property
    def name(self) -> str:
        """The image's name; its registry does not exist, so that it is never pulled."""
        return f"imageclassifier.local/{self.program}:{self.module.version}"


PAUSE = ProgramImage(module=programs.PAUSE)
COREDNS = ProgramImage(module=programs.COREDNS)
METRICS_SERVER = ProgramImage(module=programs.METRICS_SERVER)
ALL = (PAUSE, COREDNS, METRICS_SERVER)


def ensure(image: ProgramImage) -> Path:
    """The image as a docker-archive; created if the cache does not have it."""
    home = image.module.home
    archive = cache_dir() / "programs" / "images" / f"{home.name}.tar"
    if not archive.exists():
        program = programs.ensure(image.module)[image.program]
        archive.parent.mkdir(parents=True, exist_ok=True)
        for old in archive.parent.glob(f"{image.module.name}-v*"):
            old.unlink()
        staged = archive.with_suffix(".new")
        staged.write_bytes(docker_archive(image, program.read_bytes(), golang.architecture()))
        staged.rename(archive)
    return archive


def docker_archive(image: ProgramImage, program: bytes, architecture: str) -> bytes:
    """An image with one file, in the format of `docker save`."""
    layer = _tar({image.program: program}, mode=0o755)
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": [f"/{image.program}"], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
            "history": [{"created_by": image.program}],
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [image.name], "Layers": ["layer.tar"]}]).encode()
    return _tar({config_name: config, "layer.tar": layer, "manifest.json": manifest}, mode=0o644)


def _tar(files: dict[str, bytes], *, mode: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()
