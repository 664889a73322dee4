"""Builds an image if its inputs have changed, and caches it as a docker-archive."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from tools import apt
from tools.guards import hold_lock
from tools.images import base, buildah, wheels
from tools.paths import REPOSITORY, cache_dir
from tools.steps import say, step

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGES = ("runtime", "operator")
_KEEP = 3
_KEEP_LAYERS = 200


def version() -> str:
    """The project's version, which is the images' tag."""
    found: str = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    return found


def name(image: str) -> str:
    """The name of an image in manifests."""
    return f"imageclassifier-{image}:{version()}"


def inputs(image: str) -> list[Path]:
    """An image's input files, relative to the repository: those that `.dockerignore` allows."""
    fixed = [f"Dockerfile.{image}", ".dockerignore", "pyproject.toml", f"requirements/{image}.txt"]
    found = [Path(path) for path in fixed if (REPOSITORY / path).is_file()]
    return found + sorted(_sources(REPOSITORY / image / f"imageclassifier_{image}"))


def _sources(package: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(package):
        folders[:] = [sub for sub in folders if sub != "__pycache__" and not sub.startswith(".")]
        yield from ((Path(folder) / file).relative_to(REPOSITORY) for file in files if not file.endswith(".pyc"))


def key(image: str) -> str:
    """A digest that changes whenever an input of the image does."""
    digest = hashlib.sha256(base.recipe().encode())
    for path in inputs(image):
        content = (REPOSITORY / path).read_bytes()
        digest.update(f"{path} {hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def ensure(image: str) -> Path:
    """The image as a docker-archive."""
    archive = cache_dir() / "images" / f"{image}-{version()}-{key(image)}.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(archive.parent / ".lock", "building images"):
            if not archive.exists():
                _build(image, archive)
    return archive


def _build(image: str, archive: Path) -> None:
    apt.install(buildah.PACKAGES)
    base_image = base.ensure()
    folder = wheels.ensure(image)
    with (
        step(f"Building {name(image)}"),
        tempfile.TemporaryDirectory(dir=cache_dir(), prefix=".context-") as work,
    ):
        context = Path(work)
        _fill(context, image, folder)
        tag = f"docker.io/library/{name(image)}"
        dockerfile = context / f"Dockerfile.{image}"
        buildah.build(context, dockerfile=dockerfile, tag=tag, arguments={"BASE_IMAGE": base_image})
        buildah.save(tag, archive, name=name(image))
    _delete_old(image)
    say(f"{name(image)}: {archive.stat().st_size / 1e6:.0f} MB, {base.NAME} included")


def _fill(context: Path, image: str, wheel_folder: Path) -> None:
    for path in inputs(image):
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / path, context / path)
    shutil.copytree(wheel_folder, context / "wheels", copy_function=os.link)


def _delete_old(image: str) -> None:
    archives = sorted((cache_dir() / "images").glob(f"{image}-*.tar"), key=lambda path: path.stat().st_mtime)
    for archive in archives[:-_KEEP]:
        archive.unlink()
    # Unused layers can still serve the next build as cache, so they are pruned only when there are many.
    if len(buildah.run("images", "--all", "--quiet").split()) > _KEEP_LAYERS:
        buildah.run("rmi", "--prune", "--force")


def push(image: str, registry: str, *, insecure: bool) -> str:
    """Push an image to a registry; returns its full name there."""
    archive = ensure(image)
    target = f"{registry.rstrip('/')}/{name(image)}"
    with step(f"Pushing {target}"):
        loaded = buildah.run("pull", "--quiet", *buildah.policy_options(), f"docker-archive:{archive}").split()[-1]
        verify = ["--tls-verify=false"] if insecure else []
        buildah.run("push", "--quiet", *verify, *buildah.policy_options(), loaded, f"docker://{target}")
    return target
