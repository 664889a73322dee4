"""The names of images in containerd, and the archives of the program images."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from e2e.cluster import program_images
from e2e.cluster.containerd import archive_images, full_name
from e2e.cluster.errors import ClusterError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("imageclassifier-runtime:0.1.0", "docker.io/library/imageclassifier-runtime:0.1.0"),
        ("team/image:1", "docker.io/team/image:1"),
        ("localhost/debian:slim", "localhost/debian:slim"),
        ("registry.example/team/image:1", "registry.example/team/image:1"),
        ("registry:5000/image:1", "registry:5000/image:1"),
    ],
)
def test_a_short_name_is_a_docker_hub_name(name: str, full: str) -> None:
    assert full_name(name) == full


@pytest.mark.parametrize("image", program_images.ALL, ids=lambda image: image.program)
def test_a_program_image_is_a_docker_archive_with_the_right_layer_digest(
    image: program_images.ProgramImage, tmp_path: Path
) -> None:
    archive = tmp_path / "image.tar"
    archive.write_bytes(program_images.docker_archive(image, b"program", "amd64"))
    assert list(archive_images(archive)) == [image.name]
    with tarfile.open(archive) as tar:
        config_name = archive_images(archive)[image.name]
        config = json.load(tar.extractfile(config_name) or io.BytesIO())
        layer = tar.extractfile("layer.tar")
        assert layer is not None
        data = layer.read()
    with tarfile.open(fileobj=io.BytesIO(data)) as files:
        assert files.getmember(image.program).mode == 0o755
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(data).hexdigest()}"]
    assert config["config"]["Entrypoint"] == [f"/{image.program}"]
    assert config["architecture"] == "amd64"


def test_the_error_for_a_file_that_is_not_an_archive_names_it(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"no archive at all")
    with pytest.raises(ClusterError, match=r"x\.tar is not a docker-archive"):
        archive_images(tmp_path / "x.tar")
