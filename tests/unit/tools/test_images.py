"""An image is built again if one of its inputs has changed, and has no other inputs."""

from __future__ import annotations

import fnmatch
import importlib.metadata
import re

import pytest

from tools.images import build
from tools.images.wheels import BUILD_BACKEND, select
from tools.paths import REPOSITORY


def test_entries_of_a_lock_file_are_selected_with_their_hashes() -> None:
    expected = "bb==2 ; python_version < '4' \\\n    --hash=sha256:2\n    --hash=sha256:3\n"
    assert select(f"aa==1 \\\n    --hash=sha256:1\n{expected}cc==3\n", ("bb",)) == expected


def test_the_build_backend_is_downloaded_with_its_dependencies() -> None:
    needed = {"hatchling"}
    for requirement in importlib.metadata.requires("hatchling") or []:
        if "python_version <" not in requirement:
            needed.add(re.split(r"[^A-Za-z0-9_.-]", requirement)[0].lower())
    assert needed <= set(BUILD_BACKEND)
    locked = select((REPOSITORY / "requirements" / "dev.txt").read_text(), BUILD_BACKEND)
    assert {name for name in BUILD_BACKEND if f"{name}==" in locked} == set(BUILD_BACKEND)


@pytest.mark.parametrize("image", build.IMAGES)
def test_every_input_of_an_image_is_allowed_by_dockerignore(image: str) -> None:
    rules = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    allowed = [rule[1:] for rule in rules]
    for path in build.inputs(image):
        if path.name not in {f"Dockerfile.{image}", ".dockerignore"}:
            assert any(fnmatch.fnmatch(str(path), rule) or str(path).startswith(f"{rule}/") for rule in allowed), (
                path
            )


@pytest.mark.parametrize(("image", "other"), [("runtime", "operator"), ("operator", "runtime")])
def test_an_image_has_no_files_of_the_other_image(image: str, other: str) -> None:
    paths = [str(path) for path in build.inputs(image)]
    assert f"Dockerfile.{image}" in paths
    assert f"requirements/{image}.txt" in paths
    assert [path for path in paths if other in path] == []
