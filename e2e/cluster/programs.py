"""Builds the cluster's programs from their Go modules, once per version, and caches them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.cluster import golang
from e2e.cluster.errors import ClusterError
from tools.guards import hold_lock, require_disk
from tools.paths import cache_dir
from tools.steps import Progress, step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RECIPE = "1"
"""Part of the cache key: a new value makes every machine build again."""
BUILD_GIB = 6
"""Disk space that modules and the build cache take while building."""


@dataclass(frozen=True, kw_only=True)
class Module:
    """A release that a `go.mod` pins, and the programs that are built from it."""

    name: str
    release: str = ""
    """The path of the Go module with the programs' version; empty for a program of this repository."""
    packages: tuple[str, ...] = (".",)
    """The programs' packages; `.` is the folder's own `main.go`, whose program has the module's name."""
    files: str = ""
    """A folder of the release that is kept with the programs, such as its manifests."""

    @property
    def folder(self) -> Path:
        """Where its `go.mod` is."""
        return Path(__file__).parent / self.name

    @property
    def programs(self) -> tuple[str, ...]:
        """The names of its programs."""
        return tuple(self.name if package == "." else package.rpartition("/")[2] for package in self.packages)

    @property
    def version(self) -> str:
        """The pinned release as `v1.37.2`, or `v0.0.0` for a program of this repository."""
        if not self.release:
            return "v0.0.0"
        text = (self.folder / "go.mod").read_text()
        found = re.search(rf"^\s*(?:require\s+)?{re.escape(self.release)} (v[0-9.]+)", text, re.MULTILINE)
        if found is None:
            raise ClusterError(f"{self.folder / 'go.mod'} does not require {self.release}")
        return found.group(1)

    @property
    def minimum_go(self) -> golang.Version:
        """The oldest Go that its `go.mod` accepts."""
        found = re.search(r"^go (\S+)$", (self.folder / "go.mod").read_text(), re.MULTILINE)
        version = golang.parse_version(f"go{found.group(1)}") if found else None
        if version is None:
            raise ClusterError(f"{self.folder / 'go.mod'} does not state its Go version")
        return version

    @property
    def home(self) -> Path:
        """The cache folder of its programs, by release and content of its folder."""
        digest = hashlib.sha256(RECIPE.encode())
        for path in sorted(path for path in self.folder.iterdir() if path.is_file()):
            digest.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
        return cache_dir() / "programs" / f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"

    @property
    def files_home(self) -> Path:
        """Where `files` are kept."""
        return self.home / "files"

    def paths(self) -> dict[str, Path]:
        """Where each program is once it is built."""
        return {program: self.home / program for program in self.programs}

    def built(self) -> bool:
        """Whether every program exists and is not empty; a power failure can leave empty files."""
        return all(
            path.is_file() and path.stat().st_size > 0 and os.access(path, os.X_OK)
            for path in self.paths().values()
        )


_COMMANDS = "k8s.io/kubernetes/cmd"
_CONTROL_PLANE = (f"{_COMMANDS}/kube-apiserver", f"{_COMMANDS}/kube-controller-manager")
_NODE = (f"{_COMMANDS}/kube-proxy", f"{_COMMANDS}/kube-scheduler", f"{_COMMANDS}/kubelet")
KUBERNETES = Module(name="kubernetes", release="k8s.io/kubernetes", packages=(*_CONTROL_PLANE, *_NODE))
OLDEST = Module(name="kubernetes-oldest", release="k8s.io/kubernetes", packages=_CONTROL_PLANE)
ETCD = Module(name="etcd", release="go.etcd.io/etcd/server/v3")
COREDNS = Module(name="coredns", release="github.com/coredns/coredns")
METRICS_SERVER = Module(
    name="metrics-server",
    release="sigs.k8s.io/metrics-server",
    packages=("sigs.k8s.io/metrics-server/cmd/metrics-server",),
    files="manifests/base",
)
PAUSE = Module(name="pause")
CLUSTER = (KUBERNETES, ETCD, COREDNS, METRICS_SERVER, PAUSE)
"""What the local cluster runs."""


def ensure(*modules: Module) -> dict[str, Path]:
    """The paths of the modules' programs by name; missing ones are built."""
    missing = [module for module in modules if not module.built()]
    if missing:
        home = cache_dir() / "programs"
        home.mkdir(parents=True, exist_ok=True)
        with hold_lock(home / ".lock", "building the cluster's programs"):
            _build([module for module in missing if not module.built()], home)
    return {name: path for module in modules for name, path in module.paths().items()}


def delete_build_cache() -> None:
    """Delete the Go build cache once everything is built; only an interrupted build needs it."""
    with hold_lock(cache_dir() / "programs" / ".lock", "building the cluster's programs"):
        shutil.rmtree(golang.build_cache(), ignore_errors=True)


def _build(modules: list[Module], home: Path) -> None:
    if not modules:
        return
    require_disk(home, BUILD_GIB, "building the cluster's programs")
    go = golang.ensure(max(module.minimum_go for module in modules))
    environment = go.environment()
    for number, module in enumerate(modules, 1):
        title = f"{module.name} {module.version} ({number} of {len(modules)})"
        log = home / f"{module.name}.log"
        with step(f"Fetching the modules of {title}"):
            packages = _list_packages(go, module, environment, log)
        with step(f"Building {title} (log: {log})"):
            _compile(go, module, environment, log, expected=packages)


def _list_packages(go: golang.Go, module: Module, environment: Mapping[str, str], log: Path) -> int:
    """Download the programs' modules, and return the number of packages to compile."""
    command = [str(go.program), "list", "-deps", "-f", "{{.ImportPath}}", *module.packages]
    listed: list[str] = []

    def count(line: str) -> bool:
        listed.append(line)
        return line.startswith("go: downloading ")

    _run(command, module, environment, log, counted=count, show="{count} modules downloaded, {took:.0f} s")
    return sum(not line.startswith("go: ") for line in listed)


def _compile(go: golang.Go, module: Module, environment: Mapping[str, str], log: Path, *, expected: int) -> None:
    staged = module.home.with_suffix(".new")
    shutil.rmtree(staged, ignore_errors=True)
    flags = ["-v", "-trimpath", "-buildvcs=false", f"-ldflags={link_flags(module.version)}"]
    command = [str(go.program), "build", *flags, "-o", f"{staged}/", *module.packages]
    show = f"{{count}} of {expected} packages compiled, {{took:.0f}} s"
    _run(command, module, environment, log, counted=is_package, show=show)
    missing = [name for name in module.programs if not (staged / name).is_file()]
    if missing:
        raise ClusterError(f"{module.folder / 'go.mod'} does not build {', '.join(missing)}")
    if module.files:
        shutil.copytree(_release_folder(go, module, environment) / module.files, staged / "files")
    for old in module.home.parent.glob(f"{module.name}-v*"):
        if old != staged:
            shutil.rmtree(old)
    os.sync()
    staged.rename(module.home)


def _release_folder(go: golang.Go, module: Module, environment: Mapping[str, str]) -> Path:
    """The folder of the release in Go's module cache."""
    command = [str(go.program), "list", "-m", "-f", "{{.Dir}}", module.release]
    completed = subprocess.run(
        command, cwd=module.folder, env=dict(environment), capture_output=True, text=True, check=False
    )
    if completed.returncode != 0:
        raise ClusterError(f"`go list -m {module.release}` failed in {module.folder}: {completed.stderr.strip()}")
    return Path(completed.stdout.strip())


def link_flags(version: str) -> str:
    """Linker flags that strip a program and set its version, without which clients see `v0.0.0`.

    After hack/lib/version.sh of kubernetes/kubernetes. A program without these variables ignores them.
    """
    major, minor, _ = version.removeprefix("v").split(".", 2)
    stamps = {
        "gitVersion": version,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    variables = [f"-X {package}.{name}={value}" for package in packages for name, value in stamps.items()]
    return " ".join(["-s", "-w", *variables])


def _run(
    command: list[str],
    module: Module,
    environment: Mapping[str, str],
    log: Path,
    *,
    counted: Callable[[str], bool],
    show: str,
) -> None:
    """Run a Go command; its output goes to the log, and the number of `counted` lines to the progress line."""
    progress, start_time, count = Progress(), time.monotonic(), 0
    with (
        log.open("w") as out,
        subprocess.Popen(
            command,
            cwd=module.folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                out.write(line)
                count += counted(line.rstrip("\n"))
                progress.show(show.format(count=count, took=time.monotonic() - start_time))
        except BaseException:
            process.terminate()
            raise
    progress.close()
    if process.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise ClusterError(f"`go {command[1]}` failed in {module.folder}, see {log}:\n{tail}")


def is_package(line: str) -> bool:
    """Whether a line of `go build -v` names a package that was compiled."""
    return re.fullmatch(r"[a-zA-Z0-9.-]+(?:/[\w.~-]+)*", line) is not None
