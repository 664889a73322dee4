"""Prints the memory use of a container and of one process in it, in bytes, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(cgroup: str, status: str) -> None:
    """Print it, from the folder of the cgroup, of either version, and the status file of the process."""
    folder = Path(cgroup)
    lines = dict(line.split(":", 1) for line in Path(status).read_text().splitlines())
    found = {
        "limit": number(folder, "memory/memory.limit_in_bytes", "memory.max"),
        "peak": number(folder, "memory/memory.max_usage_in_bytes", "memory.peak"),
        "peak_resident": int(lines["VmHWM"].split()[0]) * 1024,
        "kills": kills(folder, "memory/memory.oom_control", "memory.events"),
    }
    print(json.dumps(found))


def number(folder: Path, *names: str) -> int | None:
    """The number in the first of these files that has one."""
    for name in names:
        path = folder / name
        if path.is_file() and path.read_text().strip().isdigit():
            return int(path.read_text())
    return None


def kills(folder: Path, *names: str) -> int:
    """How many processes the kernel has killed for memory."""
    files = [folder / name for name in names if (folder / name).is_file()]
    lines = [line for file in files for line in file.read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


if __name__ == "__main__":
    main(*sys.argv[1:])
