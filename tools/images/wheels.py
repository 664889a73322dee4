"""Downloads the wheels of a lock file on the host, so that the build itself needs no network."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.errors import ToolError
from tools.paths import REPOSITORY, cache_dir
from tools.steps import step

BUILD_BACKEND = ("hatchling", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers")
"""The packages that build the project; locked with the development requirements."""

PYTHON = "3.11"
"""The base image's version; the Python that runs this may be newer."""


def ensure(image: str) -> Path:
    """A folder with the wheels of `requirements/IMAGE.txt` and of the build backend."""
    lock = REPOSITORY / "requirements" / f"{image}.txt"
    backend = select((REPOSITORY / "requirements" / "dev.txt").read_text(), BUILD_BACKEND)
    digest = hashlib.sha256(lock.read_bytes() + backend.encode()).hexdigest()[:12]
    folder = cache_dir() / "wheels" / f"{image}-{digest}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        step(f"Fetching the wheels of the {image} image"),
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as work,
    ):
        backend_lock = Path(work) / "backend.txt"
        backend_lock.write_text(backend)
        staged = Path(work) / "wheels"
        _download(lock, staged)
        _download(backend_lock, staged)
        for old in folder.parent.glob(f"{image}-*"):
            shutil.rmtree(old)
        staged.rename(folder)
    return folder


def _download(lock: Path, into: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--require-hashes"]
    completed = subprocess.run(
        [*command, f"--python-version={PYTHON}", "--no-deps", "--requirement", str(lock), "--dest", str(into)],
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode != 0:
        raise ToolError(f"could not fetch the wheels of {lock.name}:\n{completed.stderr.strip()}")


def select(lock: str, names: tuple[str, ...]) -> str:
    """The entries of a lock file for some packages, with their hashes."""
    chosen, taking = [], False
    for line in lock.splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            taking = line.partition("==")[0].strip().lower() in names
        if taking:
            chosen.append(line)
    return "\n".join(chosen) + "\n"
