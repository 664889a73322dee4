"""Checks, before anything is changed, whether the machine can run a cluster."""

from __future__ import annotations

import errno
import os
import re
import socket
from typing import TYPE_CHECKING

from e2e.cluster import network
from e2e.cluster.errors import ClusterError
from tools import apt
from tools.guards import require_disk

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = [
    "containerd",
    "runc",
    "containernetworking-plugins",
    "iptables",
    "iproute2",
    "conntrack",
    "socat",
    "util-linux",
]
STATE_GIB = 4
PORTS = {
    "kube-apiserver": (network.ADDRESS, 6443),
    "kubelet": (network.ADDRESS, 10250),
    "kube-controller-manager": ("127.0.0.1", 10257),
    "kube-scheduler": ("127.0.0.1", 10259),
    "kube-proxy": (network.ADDRESS, 10256),
}


def require_root() -> None:
    """Raise ClusterError unless this is root, which namespaces, mounts and iptables need."""
    if os.geteuid() != 0:
        raise ClusterError("the local cluster needs root: run this as root, or use your own cluster (README)")


def install_packages() -> None:
    """Install the Debian packages that are missing."""
    apt.debian_codename()
    apt.install(PACKAGES)


def check_machine(state: Path, *, started_before: bool) -> None:
    """Raise ClusterError if another network or another Kubernetes conflicts."""
    state.parent.mkdir(parents=True, exist_ok=True)
    require_disk(state.parent, STATE_GIB, "the local cluster")
    conflicts = network.conflicting_routes()
    if conflicts:
        raise ClusterError(
            f"the cluster's networks {network.POD_RANGE} and {network.SERVICE_RANGE} are in use: "
            f"{', '.join(conflicts)}; remove that network first"
        )
    if started_before:
        return
    if network.bridge_exists():
        raise ClusterError(f"a bridge {network.BRIDGE} exists that is not this cluster's; remove it first")
    chains = network.own_chains()
    if chains:
        raise ClusterError(
            "another Kubernetes or container network is on this machine; stop it first "
            f"({chains[0]} and {len(chains) - 1} more)"
        )


def check_port(component: str) -> None:
    """Raise ClusterError if a component's port is taken; the bridge must exist."""
    address, port = PORTS[component]
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise ClusterError(
                f"{component} needs port {port} on {address}, which {_listener(port)} uses"
            ) from error


def _listener(port: int) -> str:
    listed = network.run("ss", "-Hltnp", f"sport = :{port}", check=False)
    owner = re.search(r'\("([^"]+)",pid=(\d+)', listed)
    return f"{owner.group(1)} (pid {owner.group(2)})" if owner else "another program"
