"""Builds Kubernetes' programs from Debian's source package, once, and keeps them."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.cluster import apt
from e2e.cluster.errors import ClusterError
from e2e.cluster.paths import cache_dir
from e2e.steps import Progress, say, step

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
BUILD_PACKAGES = ["golang-go", "dpkg-dev", "rsync", "jq", "make", "golang-github-modern-go-reflect2-dev"]
SOURCE_PACKAGE = "kubernetes"
RECIPE = "r1"
"""Part of the cache's key: another value makes every machine build anew."""
REFLECT2 = "github.com/modern-go/reflect2"
"""The vendored version walks maps by Go's inner layout from before 1.18: built with a newer Go, the API server
dies of a segmentation fault at the first custom resource. Debian's own package of it, 1.0.2, is mended."""
BUILD_GIB = 5
"""Room that the unpacked tree and the compiler's cache take while building."""
EXPECTED_PACKAGES = 2235
"""About how many Go packages are compiled; only the progress line leans on it."""


def ensure() -> Path:
    """The folder with the programs; builds them when the cache has none (5 to 10 minutes on 2 cores)."""
    home = cache_dir() / "programs"
    found = newest(home)
    if found is not None:
        return found
    home.mkdir(parents=True, exist_ok=True)
    with only_one(home / ".lock", "building Kubernetes' programs"):
        found = newest(home)
        return found if found is not None else _build(home)


def newest(home: Path) -> Path | None:
    """The most recently built complete set of programs, if there is one."""
    if not home.is_dir():
        return None
    complete = [
        folder
        for folder in home.iterdir()
        if folder.name.endswith(f"-{RECIPE}") and all((folder / name).is_file() for name in PROGRAMS)
    ]
    return max(complete, key=lambda folder: folder.stat().st_mtime, default=None)


def require_disk(folder: Path, gib: int, purpose: str) -> None:
    """Refuse to begin what cannot end for lack of room."""
    free = shutil.disk_usage(folder).free / 2**30
    if free < gib:
        raise ClusterError(f"{purpose} needs {gib} GiB of free disk in {folder}; there are {free:.1f} GiB")


@contextmanager
def only_one(lock: Path, purpose: str) -> Iterator[None]:
    """Wait for another command with the same purpose, and say so."""
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Another command is {purpose}; waiting for it …")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _build(home: Path) -> Path:
    require_disk(home, BUILD_GIB, "building Kubernetes' programs")
    apt.install(BUILD_PACKAGES)
    work = home / ".build"
    # A generator that died half way leaves a tree that cannot be built again, so each build begins afresh.
    _remove(work)
    archive = apt.SourceArchive(home / ".apt")
    with step("Fetching Debian's source package of Kubernetes"):
        archive.update()
        version = archive.version(SOURCE_PACKAGE)
        tree = archive.download(SOURCE_PACKAGE, version, work / "source")
    _replace_reflect2(tree)
    log = home / "build.log"
    with step(f"Building Kubernetes {version} (log: {log})"):
        _compile(tree, work=work, log=log)
    done = home / f"{version}-{RECIPE}"
    staged = work / "programs"
    staged.mkdir()
    for name in PROGRAMS:
        shutil.copy2(tree / "_output/bin" / name, staged / name)
    for old in [folder for folder in home.iterdir() if folder.is_dir() and folder != work]:
        _remove(old)
    staged.rename(done)
    _remove(work)
    return done


def _replace_reflect2(tree: Path) -> None:
    vendored = tree / "vendor" / REFLECT2
    for stale in vendored.glob("*.go"):
        stale.unlink()
    for source in (Path("/usr/share/gocode/src") / REFLECT2).glob("*.go"):
        if not source.name.endswith("_test.go"):
            shutil.copy2(source, vendored / source.name)


def _remove(folder: Path) -> None:
    """Delete a tree, also where Go made folders read-only."""
    if not folder.exists():
        return
    for path, _, _ in os.walk(folder):
        Path(path).chmod(0o700)
    shutil.rmtree(folder)


def _compile(tree: Path, *, work: Path, log: Path) -> None:
    gopath = work / "go"
    (gopath / "src/k8s.io").mkdir(parents=True)
    inside = gopath / "src/k8s.io/kubernetes"
    inside.symlink_to(tree)
    environment = {
        **os.environ,
        "GOPATH": str(gopath),
        "GOCACHE": str(work / "gocache"),
        "GO111MODULE": "off",
        "GOPROXY": "off",
        "CGO_ENABLED": "0",
        "PWD": str(inside),
        "GOFLAGS": "-v",
    }
    what = " ".join(f"cmd/{name}" for name in PROGRAMS)
    with log.open("w") as out:
        build = subprocess.Popen(
            ["make", f"WHAT={what}", "GOLDFLAGS=-s -w", "GOFLAGS=-v"],
            cwd=inside,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            _watch(build, log)
        finally:
            if build.poll() is None:
                build.terminate()
                build.wait()
    if build.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise ClusterError(f"building Kubernetes failed, see {log}:\n{tail}")


def _watch(build: subprocess.Popen[bytes], log: Path) -> None:
    began = time.monotonic()
    progress = Progress()
    while build.poll() is None:
        done = compiled_packages(log.read_text(errors="replace"))
        share = min(99, 100 * done // EXPECTED_PACKAGES)
        took = time.monotonic() - began
        progress.show(f"building: {done} packages compiled, about {share} %, {took:.0f} s")
        time.sleep(1)
    progress.close()


def compiled_packages(log: str) -> int:
    """How many Go packages a build log names as compiled."""
    return len(re.findall(r"^[a-z0-9.-]+(?:/[\w.~-]+)+$", log, re.MULTILINE))
