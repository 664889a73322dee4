"""CPU time and memory of a process are parsed from /proc, whatever the name of its program."""

import os
import time

import pytest

from runtime.bench import procfs
from runtime.bench.errors import BenchError

STAT = "4242 (uv (x) y) S 1 4242 4242 0 -1 4194560 9 0 0 0 1234 66 7 8 20 0 5 0 100 200 300 18446744073709551615"
ROLLUP = """\
55d0a8a5c000-7ffd5a5f2000 ---p 00000000 00:00 0                          [rollup]
Rss:              161024 kB
Pss:              150016 kB
Pss_Dirty:         98304 kB
Shared_Clean:      20000 kB
"""


def test_cpu_seconds_are_user_and_system_time_also_for_a_name_with_brackets_and_spaces() -> None:
    assert procfs.parse_stat(STAT, ticks_per_second=100) == pytest.approx(13.0)


def test_an_invalid_stat_line_is_an_error() -> None:
    with pytest.raises(BenchError, match=r"/proc/PID/stat"):
        procfs.parse_stat("4242 (python) S 1", ticks_per_second=100)


def test_memory_is_in_bytes() -> None:
    assert procfs.parse_smaps_rollup(ROLLUP) == procfs.Memory(pss=150016 * 1024, rss=161024 * 1024)


def test_a_kernel_without_pss_is_an_error() -> None:
    with pytest.raises(BenchError, match="Linux"):
        procfs.parse_smaps_rollup("Rss:  12 kB\n")


def test_this_process_uses_cpu_and_memory() -> None:
    before = procfs.cpu_seconds(os.getpid())
    start = time.process_time()
    while time.process_time() - start < 0.1:
        pass
    assert 0.05 <= procfs.cpu_seconds(os.getpid()) - before < 10
    memory = procfs.memory(os.getpid())
    assert 1_000_000 < memory.pss <= memory.rss


def test_the_error_for_a_process_that_does_not_exist_names_it() -> None:
    with pytest.raises(BenchError, match="4194999"):
        procfs.cpu_seconds(4_194_999)  # larger than the kernel's largest pid
