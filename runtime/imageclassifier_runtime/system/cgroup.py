"""Reads the CPU quota and the memory limit of this container's cgroup, versions 1, 2 and hybrid.

If a quota is set, the host's core count is not used: threads beyond the quota are only throttled.
"""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_UNLIMITED = 1 << 60


class _Mount(NamedTuple):
    """One cgroup mount; version 2 lists no controllers on the mount."""

    root: str
    point: str
    version: int
    controllers: frozenset[str]


def cpu_quota(filesystem: Path = Path("/")) -> float | None:
    """Return the tightest CPU quota up to the root of the hierarchy, or None if none is set."""

    def read(folder: Path, version: int) -> float | None:
        if version == 2:
            words = _read(folder / "cpu.max").split()
            if len(words) != 2 or words[0] == "max":
                return None
            quota, period = _number(words[0]), _number(words[1])
        else:
            quota = _number(_read(folder / "cpu.cfs_quota_us"))
            period = _number(_read(folder / "cpu.cfs_period_us"))
        return quota / period if quota and period and quota > 0 else None

    return _tightest(filesystem, "cpu", read)


def memory_limit(filesystem: Path = Path("/")) -> int | None:
    """Return the tightest memory limit up to the root of the hierarchy in bytes, or None if none is set."""

    def read(folder: Path, version: int) -> float | None:
        name = "memory.max" if version == 2 else "memory.limit_in_bytes"
        value = _number(_read(folder / name))
        return value if value and value < _UNLIMITED else None

    limit = _tightest(filesystem, "memory", read)
    return None if limit is None else int(limit)


def thread_count(filesystem: Path = Path("/")) -> int:
    """Return the number of threads to run: the quota rounded up, at least 1, at most the number of cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(filesystem)
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def available_memory(filesystem: Path = Path("/")) -> int:
    """Return the machine's available memory in bytes."""
    for line in _read(filesystem / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 1 << 30


def resident_memory(filesystem: Path = Path("/")) -> int:
    """Return this process's resident memory in bytes."""
    for line in _read(filesystem / "proc/self/status").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _tightest(filesystem: Path, controller: str, read: Callable[[Path, int], float | None]) -> float | None:
    found = [
        value
        for folder, version in _folders(filesystem, controller)
        if (value := read(folder, version)) is not None
    ]
    return min(found, default=None)


def _folders(filesystem: Path, controller: str) -> Iterator[tuple[Path, int]]:
    """Yield this process's cgroup folders for a controller, innermost first, up to the mount."""
    paths = _own_paths(filesystem)
    for mount in _mounts(filesystem):
        own = paths.get("" if mount.version == 2 else controller)
        if own is None or (mount.version == 1 and controller not in mount.controllers):
            continue
        top = filesystem / mount.point.lstrip("/")
        relative = _below(own, mount.root)
        folder = top / relative if relative is not None and (top / relative).is_dir() else top
        while True:
            yield folder, mount.version
            if folder == top:
                break
            folder = folder.parent


def _below(own: str, root: str) -> str | None:
    """Return this cgroup's path below the mount, or None if the mount shows another part of the hierarchy."""
    try:
        return str(PurePosixPath(own).relative_to(root))
    except ValueError:
        return None


def _own_paths(filesystem: Path) -> dict[str, str]:
    """Map each v1 controller, and "" for v2, to this process's path in that hierarchy."""
    paths: dict[str, str] = {}
    for line in _read(filesystem / "proc/self/cgroup").splitlines():
        rest = line.partition(":")[2]
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def _mounts(filesystem: Path) -> Iterator[_Mount]:
    for line in _read(filesystem / "proc/self/mountinfo").splitlines():
        before, separator, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if not separator or len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2":
            yield _Mount(fields[3], fields[4], 2, frozenset())
        elif kind[0] == "cgroup":
            yield _Mount(fields[3], fields[4], 1, frozenset(kind[2].split(",")))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _number(text: str) -> int | None:
    try:
        return int(text.strip())
    except ValueError:
        return None
