"""Finds the operator's processes, if the cluster's nodes are on this machine."""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")


def pids_by_pod() -> dict[str, int]:
    """The operator's process in each of its pods; empty if none runs on this machine."""
    found = {}
    for folder in _PROC.glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has exited
        if any(part.endswith(b"/imageclassifier-operator") for part in command) and b"run" in command:
            names = [entry.partition(b"=")[2].decode() for entry in environment if entry.startswith(b"POD_NAME=")]
            found.update(dict.fromkeys(names, int(folder.name)))
    return found


def cpu_seconds() -> float | None:
    """The CPU time that these processes have used so far; None if there are none."""
    ticks = []
    for pid in pids_by_pod().values():
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        ticks.append(int(fields[11]) + int(fields[12]))  # user and system time, see proc_pid_stat(5)
    return sum(ticks) / os.sysconf("SC_CLK_TCK") if ticks else None
