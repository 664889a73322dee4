"""Builds the base image from Debian's packages; it replaces the public one, so that no registry is needed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from tools import apt
from tools.errors import ToolError
from tools.guards import require_disk
from tools.images import buildah
from tools.paths import cache_dir
from tools.steps import step

NAME = "localhost/debian:bookworm-slim"
SUITE = "bookworm"
INCLUDE = ("ca-certificates", "python3", "python3-venv")
_UNUSED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
    "var/cache/debconf",
)


def recipe() -> str:
    """A digest that changes whenever the base image does."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]


def ensure() -> str:
    """The base image's name; the image is built if the storage has none of this recipe (about a minute)."""
    note = cache_dir() / "buildah" / "base.recipe"
    if note.exists() and note.read_text() == recipe() and buildah.has(NAME):
        return NAME
    apt.install(["mmdebstrap", *buildah.PACKAGES])
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    require_disk(cache, 3, "building the images")
    with (
        step(f"Building the base image from Debian {SUITE}"),
        tempfile.TemporaryDirectory(dir=cache, prefix=".base-") as work,
    ):
        tree = Path(work) / "tree"
        _bootstrap(tree)
        _slim(tree)
        context = Path(work) / "context"
        context.mkdir()
        # The container runtime provides the devices.
        _run("tar", "--numeric-owner", "--exclude=./dev/*", "-C", str(tree), "-cf", str(context / "tree.tar"), ".")
        (context / "Dockerfile").write_text('FROM scratch\nADD tree.tar /\nCMD ["python3"]\n')
        buildah.build(context, dockerfile=context / "Dockerfile", tag=NAME)
    note.write_text(recipe())
    return NAME


def _bootstrap(tree: Path) -> None:
    uris = [source.uri for source in apt.machine_sources() if source.suite == SUITE]
    if not uris:
        raise ToolError(f"no source for Debian {SUITE} in /etc/apt, which the base image is built from")
    options = ("--mode=root", "--variant=minbase", f"--include={','.join(INCLUDE)}")
    _run("mmdebstrap", *options, SUITE, str(tree), uris[0])


def _slim(tree: Path) -> None:
    for name in _UNUSED:
        folder = tree / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise ToolError(f"{command[0]} failed:\n{tail}")
