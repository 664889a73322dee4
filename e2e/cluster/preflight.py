"""Says, before anything is changed, what the machine lacks for a cluster."""

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
    """Namespaces, mounts and iptables are root's."""
    if os.geteuid() != 0:
        raise ClusterError(
            "the local cluster needs root: run this as root, or give a cluster of your own (README)"
        )


def install_packages() -> None:
    """Install the Debian packages that are missing."""
    apt.debian_codename()
    apt.install(PACKAGES)


def check_machine(state: Path, *, began: bool) -> None:
    """Refuse where another network or another Kubernetes is in the way."""
    state.parent.mkdir(parents=True, exist_ok=True)
    require_disk(state.parent, STATE_GIB, "the local cluster")
    in_the_way = network.foreign_routes()
    if in_the_way:
        raise ClusterError(
            f"the cluster's networks {network.POD_RANGE} and {network.SERVICE_RANGE} are in use: "
            f"{', '.join(in_the_way)}; remove that network first"
        )
    if began:
        return
    if network.bridge_exists():
        raise ClusterError(f"there is a bridge {network.BRIDGE} that is not this cluster's; remove it first")
    chains = network.own_rules()
    if chains:
        raise ClusterError(
            "another Kubernetes or container network is on this machine; stop it first "
            f"({chains[0]} and {len(chains) - 1} more)"
        )


def check_port(component: str) -> None:
    """Refuse when something else listens where a component of ours is to; the bridge must be there."""
    address, port = PORTS[component]
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise ClusterError(f"{component} needs port {port} on {address}; {_listener(port)} has it") from error


def _listener(port: int) -> str:
    listed = network.run("ss", "-Hltnp", f"sport = :{port}", check=False)
    owner = re.search(r'\("([^"]+)",pid=(\d+)', listed)
    return f"{owner.group(1)} (pid {owner.group(2)})" if owner else "another program"
