"""Images are named as containerd names them, and built again when something in them changed."""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.metadata
import io
import json
import re
import tarfile
from typing import TYPE_CHECKING

import pytest

from e2e.cluster import program_images
from e2e.cluster.containerd import archive_images, full_name
from e2e.cluster.errors import ClusterError
from e2e.cluster.paths import REPOSITORY
from e2e.images import build
from e2e.images.wheels import BUILD_BACKEND, select

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
def test_a_short_name_is_one_of_docker_hub(name: str, full: str) -> None:
    assert full_name(name) == full


@pytest.mark.parametrize("image", program_images.ALL, ids=lambda image: image.program)
def test_a_programs_image_is_a_docker_archive_whose_layer_has_the_digest_it_claims(
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


def test_what_is_no_image_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"no archive at all")
    with pytest.raises(ClusterError, match=r"x\.tar is no docker-archive"):
        archive_images(tmp_path / "x.tar")


def test_the_entries_of_a_lock_file_are_taken_with_their_hashes() -> None:
    wanted = "bb==2 ; python_version < '4' \\\n    --hash=sha256:2\n    --hash=sha256:3\n"
    assert select(f"aa==1 \\\n    --hash=sha256:1\n{wanted}cc==3\n", ("bb",)) == wanted


def test_the_build_backend_is_fetched_with_all_that_it_needs() -> None:
    needed = {"hatchling"}
    for requirement in importlib.metadata.requires("hatchling") or []:
        if "python_version <" not in requirement:
            needed.add(re.split(r"[^A-Za-z0-9_.-]", requirement)[0].lower())
    assert needed <= set(BUILD_BACKEND)
    locked = select((REPOSITORY / "requirements" / "dev.txt").read_text(), BUILD_BACKEND)
    assert {name for name in BUILD_BACKEND if f"{name}==" in locked} == set(BUILD_BACKEND)


@pytest.mark.parametrize("image", build.IMAGES)
def test_everything_that_goes_into_an_image_passes_the_dockerignore(image: str) -> None:
    rules = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    allowed = [rule[1:] for rule in rules]
    for path in build.inputs(image):
        if path.name not in {f"Dockerfile.{image}", ".dockerignore"}:
            assert any(fnmatch.fnmatch(str(path), rule) or str(path).startswith(f"{rule}/") for rule in allowed), (
                path
            )


@pytest.mark.parametrize(("image", "other"), [("runtime", "operator"), ("operator", "runtime")])
def test_an_image_has_nothing_of_the_other_one(image: str, other: str) -> None:
    paths = [str(path) for path in build.inputs(image)]
    assert f"Dockerfile.{image}" in paths
    assert f"requirements/{image}.txt" in paths
    assert [path for path in paths if other in path] == []
