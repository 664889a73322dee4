"""Quota and limit are found in every cgroup layout of containers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.system import cgroup

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


def lay_out(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_version_2_in_a_cgroup_namespace(tmp_path: Path) -> None:
    lay_out(
        tmp_path,
        {
            "proc/self/cgroup": "0::/\n",
            "proc/self/mountinfo": "30 25 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n",
            "sys/fs/cgroup/cpu.max": "50000 100000\n",
            "sys/fs/cgroup/memory.max": f"{512 * MIB}\n",
        },
    )
    assert cgroup.cpu_quota(tmp_path) == 0.5
    assert cgroup.memory_limit(tmp_path) == 512 * MIB


def test_version_2_uses_the_tightest_limit_of_the_hierarchy(tmp_path: Path) -> None:
    lay_out(
        tmp_path,
        {
            "proc/self/cgroup": "0::/kubepods/pod1/container\n",
            "proc/self/mountinfo": "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            "sys/fs/cgroup/kubepods/pod1/container/memory.max": "max\n",
            "sys/fs/cgroup/kubepods/pod1/container/cpu.max": "max 100000\n",
            "sys/fs/cgroup/kubepods/pod1/memory.max": f"{300 * MIB}\n",
            "sys/fs/cgroup/kubepods/pod1/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/kubepods/memory.max": f"{900 * MIB}\n",
        },
    )
    assert cgroup.memory_limit(tmp_path) == 300 * MIB
    assert cgroup.cpu_quota(tmp_path) == 1.5


def test_version_1_with_the_containers_cgroups_mounted(tmp_path: Path) -> None:
    own = "/kubepods/burstable/pod1/abc"
    lay_out(
        tmp_path,
        {
            "proc/self/cgroup": f"4:memory:{own}\n3:cpu,cpuacct:{own}\n1:name=systemd:{own}\n",
            "proc/self/mountinfo": (
                f"40 39 0:33 {own} /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
                f"41 39 0:34 {own} /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
            ),
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{256 * MIB}\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    )
    assert cgroup.memory_limit(tmp_path) == 256 * MIB
    assert cgroup.cpu_quota(tmp_path) == 2.0


def test_hybrid_uses_version_1_controllers_alongside_an_empty_version_2(tmp_path: Path) -> None:
    lay_out(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/pods/a\n1:cpu:/pods/a\n0::/\n",
            "proc/self/mountinfo": (
                "40 39 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                "41 39 0:34 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
                "42 39 0:35 / /sys/fs/cgroup/unified rw - cgroup2 cgroup rw\n"
            ),
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/pods/a/memory.limit_in_bytes": f"{512 * MIB}\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu/pods/a/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu/pods/a/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/unified/cgroup.procs": "",
        },
    )
    assert cgroup.memory_limit(tmp_path) == 512 * MIB
    assert cgroup.cpu_quota(tmp_path) == 0.5


def test_no_limits_and_no_cgroups_at_all(tmp_path: Path) -> None:
    assert cgroup.memory_limit(tmp_path) is None
    assert cgroup.cpu_quota(tmp_path) is None
    assert cgroup.thread_count(tmp_path) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("quota", "threads"), [("50000", 1), ("100000", 1), ("110000", 2)])
def test_the_thread_count_is_the_quota_rounded_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, threads: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    lay_out(
        tmp_path,
        {
            "proc/self/cgroup": "0::/\n",
            "proc/self/mountinfo": "30 25 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
            "sys/fs/cgroup/cpu.max": f"{quota} 100000\n",
        },
    )
    assert cgroup.thread_count(tmp_path) == threads
