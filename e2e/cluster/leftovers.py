"""Finds what a cluster left behind on the machine, and removes it after the cluster's processes have stopped."""

from __future__ import annotations

import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from e2e.cluster import containerd, network
from e2e.cluster.errors import ClusterError
from e2e.cluster.processes import start_time, wait_until, with_command_line

_PROGRAMS = ("etcd", "kube-", "kubelet", "containerd")
_CGROUPS = Path("/sys/fs/cgroup")
_CNI_RESULTS = Path("/var/lib/cni/results")
POD_LOGS = (Path("/var/log/containers"), Path("/var/log/pods"))
"""The folders in which kubelet creates links to pods' logs, independent of its settings."""


def find(state: Path) -> list[str]:
    """Every process, mount, cgroup, network device, iptables chain and file of the cluster."""
    processes = sorted(with_command_line(str(state)).items())
    found = [f"process {pid}: {command[:120]}" for pid, command in processes if _is_component(command)]
    found += [f"mount {mount}" for mount in mounts_under(state)]
    found += [f"cgroup {folder}" for folder in _pod_cgroups()]
    if network.bridge_exists():
        found.append(f"bridge {network.BRIDGE}")
    found += network.own_chains()
    found += [f"file {path}" for path in cni_results(state)]
    if state.exists():
        found.append(f"folder {state}")
    return found


def _is_component(command: str) -> bool:
    """Whether a command line runs a component, and not, for example, `tail` on a component's log."""
    program = Path(command.split(maxsplit=1)[0]).name
    return program.startswith(_PROGRAMS)


def mounts_under(folder: Path) -> list[str]:
    """Mount points in a folder, innermost first."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    decoded = [mount.encode().decode("unicode_escape") for mount in mounts]
    return [mount for mount in reversed(decoded) if Path(mount).is_relative_to(folder)]


def unmount(folder: Path) -> None:
    """Unmount everything in a folder."""
    for mount in mounts_under(folder):
        network.run("umount", mount, check=False)
    for mount in mounts_under(folder):
        network.run("umount", "--lazy", mount)


def kill_pods(state: Path) -> None:
    """Kill every process in kubelet's cgroups, and their containerd shims."""
    pids = {
        int(pid) for top in _pod_cgroups() for listed in top.rglob("cgroup.procs") for pid in _read(listed).split()
    }
    shims = [pid for pid, command in with_command_line(_shim_flag(state)).items() if "containerd-shim" in command]
    for pid in [*pids, *shims]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    remaining = [pid for pid in [*pids, *shims] if start_time(pid) is not None]
    wait_until(
        lambda: not any(start_time(pid) for pid in remaining), seconds=10, what="the pods' processes to exit"
    )


def _shim_flag(state: Path) -> str:
    return f"-address {containerd.socket_path(state)}"


def remove_cgroups() -> None:
    """Remove kubelet's cgroups; they are empty once their processes have exited."""

    def removed() -> bool:
        for top in _pod_cgroups():
            for folder, _, _ in os.walk(top, topdown=False):
                try:
                    Path(folder).rmdir()
                except OSError:
                    continue
        return not _pod_cgroups()

    wait_until(removed, seconds=10, what="kubelet's cgroups to be empty")


def remove_files(state: Path, *, pod_logs: bool) -> None:
    """Delete the state folder and files at fixed paths outside it."""
    for path in cni_results(state):
        path.unlink(missing_ok=True)
    if pod_logs:
        for folder in POD_LOGS:
            shutil.rmtree(folder, ignore_errors=True)
    left = mounts_under(state)
    if left:
        raise ClusterError(f"not deleting {state}: still mounted: {', '.join(left)}")
    _delete(state)


def _delete(folder: Path) -> None:
    files = [Path(path, name) for path, _, names in os.walk(folder) for name in names]
    # Unpacked images are many small files; on a disk mounted with `discard`, each deletion waits for it.
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(os.unlink, files))
    shutil.rmtree(folder)


def _pod_cgroups() -> list[Path]:
    # cgroup v1 has one tree for each controller, v2 a single tree.
    return [path for path in [_CGROUPS / "kubepods", *_CGROUPS.glob("*/kubepods")] if path.is_dir()]


def cni_results(state: Path, folder: Path = _CNI_RESULTS) -> list[Path]:
    """The CNI plugins' cached results for this cluster's pods: those with a network namespace in its folder."""
    return sorted(path for path in folder.glob("*") if f'"{state}/' in _read(path)) if folder.is_dir() else []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
