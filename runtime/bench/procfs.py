"""Resources of a Linux process: CPU seconds from `/proc/PID/stat`, memory from `/proc/PID/smaps_rollup`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from runtime.bench.errors import BenchError


class Memory(NamedTuple):
    """Bytes of memory; `pss` divides shared pages among their processes, `rss` counts them in full."""

    pss: int
    rss: int


def parse_stat(text: str, *, ticks_per_second: int) -> float:
    """Return the CPU seconds, user and system, of all threads; see proc_pid_stat(5), fields 14 and 15.

    The second field is the program's name in brackets and may itself hold spaces and brackets.
    """
    fields = text.rpartition(")")[2].split()
    if len(fields) < 13:
        raise BenchError(f"not a line of /proc/PID/stat: {text[:80]!r}")
    return (int(fields[11]) + int(fields[12])) / ticks_per_second


def parse_smaps_rollup(text: str) -> Memory:
    """Parse the summary of all mappings; see proc_pid_smaps(5)."""
    sizes = {}
    for line in text.splitlines():
        name, separator, rest = line.partition(":")
        words = rest.split()
        if separator and len(words) == 2 and words[1] == "kB":
            sizes[name] = int(words[0]) * 1024
    if "Pss" not in sizes or "Rss" not in sizes:
        raise BenchError("/proc/PID/smaps_rollup has no Pss and Rss: it needs Linux 4.14 or newer")
    return Memory(pss=sizes["Pss"], rss=sizes["Rss"])


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a process has used; raises BenchError if it has exited."""
    return parse_stat(_read(pid, "stat"), ticks_per_second=os.sysconf("SC_CLK_TCK"))


def memory(pid: int) -> Memory:
    """Return the memory of a process now; raises BenchError if it has exited or cannot be read."""
    return parse_smaps_rollup(_read(pid, "smaps_rollup"))


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise BenchError(f"cannot read the status of process {pid}: {error}") from error
