"""Runs buildah with separate storage, so that it does not change other images on the machine."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

from tools.errors import ToolError
from tools.paths import cache_dir

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = ["buildah"]


def run(*arguments: str) -> str:
    """Run buildah and return its output. Raises ToolError with the end of its output."""
    home = cache_dir() / "buildah"
    home.mkdir(parents=True, exist_ok=True)
    policy = home / "policy.json"
    policy.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
    completed = subprocess.run(
        ["buildah", "--root", str(home / "storage"), "--runroot", str(home / "run"), *arguments],
        env={**os.environ, "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode != 0:
        tail = "\n".join((completed.stdout + completed.stderr).strip().splitlines()[-40:])
        raise ToolError(f"buildah {arguments[0]} failed:\n{tail}")
    return completed.stdout


def policy_options() -> list[str]:
    """Options that make buildah ignore the machine's signature policy."""
    return ["--signature-policy", str(cache_dir() / "buildah" / "policy.json")]


def has(image: str) -> bool:
    """Whether an image is in the storage."""
    try:
        run("inspect", "--type", "image", image)
    except ToolError:
        return False
    return True


def build(context: Path, *, dockerfile: Path, tag: str, arguments: dict[str, str] | None = None) -> None:
    """Build a Dockerfile; unchanged layers come from the storage."""
    values = [f"--build-arg={name}={value}" for name, value in (arguments or {}).items()]
    run(
        "build",
        "--layers",
        "--force-rm",
        "--format=docker",
        "--isolation=chroot",
        "--pull=never",
        *policy_options(),
        *values,
        f"--file={dockerfile}",
        f"--tag={tag}",
        str(context),
    )


def save(image: str, archive: Path, *, name: str) -> None:
    """Write an image as a docker-archive, atomically."""
    staged = archive.with_suffix(".new")
    staged.unlink(missing_ok=True)
    run("push", "--quiet", *policy_options(), image, f"docker-archive:{staged}:{name}")
    staged.rename(archive)
