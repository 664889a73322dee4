"""Runs a kind (Kubernetes in Docker) cluster on machines with Docker; only the images are built."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from e2e.cluster import programs
from e2e.cluster.errors import ClusterError
from tools.images import build
from tools.paths import REPOSITORY, cache_dir
from tools.steps import say, step

if TYPE_CHECKING:
    from pathlib import Path

NAME = "imageclassifier"
CONTEXT = f"kind-{NAME}"
PROGRAM = programs.Module(name="kind", release="sigs.k8s.io/kind", packages=("sigs.k8s.io/kind",))
_READY = "180s"


def usable() -> bool:
    """Whether a Docker engine responds; a client alone is not enough."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        completed = subprocess.run(
            [docker, "version", "--format", "{{.Server.Version}}"], capture_output=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return completed.returncode == 0


def kubeconfig_path() -> Path:
    """The kubeconfig of this cluster only; the user's default kubeconfig is never changed."""
    return cache_dir() / "kind" / "kubeconfig"


def running() -> bool:
    """Whether the cluster exists."""
    return NAME in _kind("get", "clusters").split()


def up() -> None:
    """Create the cluster if there is none."""
    kubeconfig_path().parent.mkdir(parents=True, exist_ok=True)
    options = ("--name", NAME, "--kubeconfig", str(kubeconfig_path()))
    if running():
        _kind("export", "kubeconfig", *options)
        return
    with step(f"Creating the kind cluster {NAME}"):
        _kind("create", "cluster", *options, "--wait", _READY)


def down() -> None:
    """Delete the cluster and its kubeconfig, if there is one."""
    if not kubeconfig_path().exists():
        say("The demo's kind cluster does not exist; nothing to delete")
        return
    _kind("delete", "cluster", "--name", NAME, "--kubeconfig", str(kubeconfig_path()))
    kubeconfig_path().unlink(missing_ok=True)
    say(f"Deleted the kind cluster {NAME}")


def load_images() -> dict[str, str]:
    """Build the images with Docker and copy them to the cluster's node; returns their names there."""
    names = {image: build.name(image) for image in build.IMAGES}
    for image, name in names.items():
        with step(f"Building {name}"):
            _run("docker", "build", "--quiet", f"--file=Dockerfile.{image}", f"--tag={name}", ".")
    with step("Loading the images into the cluster"):
        _kind("load", "docker-image", "--name", NAME, *names.values())
    return names


def _kind(*arguments: str) -> str:
    program = shutil.which("kind") or str(programs.ensure(PROGRAM)["kind"])
    return _run(program, *arguments)


def _run(*command: str) -> str:
    try:
        completed = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise ClusterError(f"{command[0]} could not be started: {error}") from error
    if completed.returncode != 0:
        tail = "\n".join((completed.stdout + completed.stderr).strip().splitlines()[-15:])
        raise ClusterError(f"{' '.join(command[:3])} failed:\n{tail}")
    return completed.stdout
