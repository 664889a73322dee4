"""The network of node, pods and Services: a bridge whose traffic never leaves the machine."""

from __future__ import annotations

import ipaddress
import json
import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

from e2e.cluster.errors import ClusterError

BRIDGE = "cni0"
ADDRESS = "10.88.0.1"
POD_RANGE = "10.88.0.0/24"
SERVICE_RANGE = "10.96.0.0/16"
DNS_ADDRESS = "10.96.0.10"
DOMAIN = "cluster.local"
REJECT_CHAIN, ACCEPT_CHAIN = "IMAGECLASSIFIER-REJECT", "IMAGECLASSIFIER-ACCEPT"
OWN_CHAIN = re.compile(r"^(KUBE-|CNI-|IMAGECLASSIFIER-)")
"""Chains of kube-proxy and kubelet, of the CNI plugins, and of this file."""

SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    "net.bridge.bridge-nf-call-iptables": "1",
}
TOUCHED_SYSCTLS = (
    *SYSCTLS,
    # Set by kube-proxy and by kubelet when they start.
    "net.ipv4.conf.all.route_localnet",
    "net.bridge.bridge-nf-call-ip6tables",
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.keys.root_maxkeys",
    "kernel.keys.root_maxbytes",
)
_TABLES = ("filter", "nat", "mangle")


def run(*command: str, check: bool = True, stdin: str | None = None) -> str:
    """Run a system program and return its output. Raises ClusterError."""
    completed = subprocess.run(command, capture_output=True, text=True, check=False, input=stdin)
    if check and completed.returncode != 0:
        raise ClusterError(f"{' '.join(command)} failed: {(completed.stderr or completed.stdout).strip()}")
    return completed.stdout


def bridge_exists() -> bool:
    """Whether a bridge with the cluster's name exists, even if another program created it."""
    return Path(f"/sys/class/net/{BRIDGE}").exists()


def overlapping_routes(routes: list[dict[str, Any]]) -> list[str]:
    """Routes of other networks that overlap the cluster's two ranges."""
    cluster_ranges = [ipaddress.ip_network(POD_RANGE), ipaddress.ip_network(SERVICE_RANGE)]
    found = []
    for route in routes:
        target = route.get("dst", "default")
        if target == "default" or route.get("dev") == BRIDGE:
            continue
        network = ipaddress.ip_network(target, strict=False)
        if any(network.version == own.version and network.overlaps(own) for own in cluster_ranges):
            found.append(f"{target} on {route.get('dev', '?')}")
    return found


def conflicting_routes() -> list[str]:
    """Routes of this machine that conflict with the cluster's ranges."""
    routes: list[dict[str, Any]] = json.loads(run("ip", "-json", "-4", "route", "show") or "[]")
    return overlapping_routes(routes)


def up(saved: Path) -> None:
    """Create the bridge and route both ranges to it, before any traffic can be sent to them."""
    if not saved.exists():
        saved.write_text(json.dumps(_read_sysctls(), indent=1))
    if not bridge_exists():
        run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "addr", "replace", f"{ADDRESS}/24", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    run("ip", "route", "replace", SERVICE_RANGE, "dev", BRIDGE, "src", ADDRESS)
    for name, value in SYSCTLS.items():
        if not _sysctl_path(name).exists():
            run("modprobe", "br_netfilter", check=False)
        if not _sysctl_path(name).exists():
            raise ClusterError(f"the kernel has no {name}; load the module br_netfilter")
        _sysctl_path(name).write_text(value)
    _set_rules()


def _set_rules() -> None:
    """Allow packets from pods only to pods and to the machine."""
    reject = "-j REJECT --reject-with icmp-net-prohibited"
    rules = [
        f":{REJECT_CHAIN} - [0:0]",
        f"-A {REJECT_CHAIN} -i {BRIDGE} ! -o {BRIDGE} {reject}",
        f"-A {REJECT_CHAIN} ! -i {BRIDGE} -o {BRIDGE} {reject}",
        # At the very end, for machines with a default policy of DROP.
        f":{ACCEPT_CHAIN} - [0:0]",
        f"-A {ACCEPT_CHAIN} -i {BRIDGE} -j ACCEPT",
    ]
    present = run("iptables", "-S")
    jumps = {
        f"-A FORWARD -j {REJECT_CHAIN}": f"-I FORWARD 1 -j {REJECT_CHAIN}",
        f"-A FORWARD -j {ACCEPT_CHAIN}": f"-A FORWARD -j {ACCEPT_CHAIN}",
        f"-A INPUT -j {ACCEPT_CHAIN}": f"-A INPUT -j {ACCEPT_CHAIN}",
    }
    rules += [command for rule, command in jumps.items() if rule not in present.splitlines()]
    run("iptables-restore", "--noflush", stdin="*filter\n" + "\n".join(rules) + "\nCOMMIT\n")


def down(saved: Path) -> None:
    """Revert all changes to the machine's network."""
    if bridge_exists():
        for port in json.loads(run("ip", "-json", "link", "show", "master", BRIDGE) or "[]"):
            run("ip", "link", "delete", port["ifname"], check=False)
        run("ip", "link", "delete", BRIDGE)
    for family in ("ip", "ip6"):
        for table in _TABLES:
            listed = run(f"{family}tables-save", "-t", table, check=False)
            rules = removal_rules(table, listed)
            if rules:
                run(f"{family}tables-restore", "--noflush", stdin=rules)
    if saved.exists():
        for name, value in json.loads(saved.read_text()).items():
            if _sysctl_path(name).exists():
                _sysctl_path(name).write_text(value)


def removal_rules(table: str, saved: str) -> str:
    """Input for iptables-restore that deletes our chains and the rules that jump to them."""
    chains = [line[1:].split()[0] for line in saved.splitlines() if line.startswith(":")]
    ours = [chain for chain in chains if OWN_CHAIN.match(chain)]
    if not ours:
        return ""
    jumps = []
    for line in saved.splitlines():
        if line.startswith("-A ") and not OWN_CHAIN.match(line.split()[1]):
            # shlex keeps a rule's quoted comment in one word.
            words = shlex.split(line)
            if any(flag in {"-j", "-g"} and OWN_CHAIN.match(target) for flag, target in pairwise(words)):
                jumps.append(f"-D {line.removeprefix('-A ')}")
    lines = [f"*{table}", *jumps, *(f"-F {chain}" for chain in ours), *(f"-X {chain}" for chain in ours), "COMMIT"]
    return "\n".join(lines) + "\n"


def own_chains() -> list[str]:
    """Our chains in the machine's tables."""
    found = []
    for family in ("ip", "ip6"):
        lines = run(f"{family}tables-save", check=False).splitlines()
        chains = [line[1:].split()[0] for line in lines if line.startswith(":")]
        found += [f"{family}tables chain {chain}" for chain in chains if OWN_CHAIN.match(chain)]
    return found


def _sysctl_path(name: str) -> Path:
    return Path("/proc/sys") / name.replace(".", "/")


def _read_sysctls() -> dict[str, str]:
    return {
        name: _sysctl_path(name).read_text().strip() for name in TOUCHED_SYSCTLS if _sysctl_path(name).exists()
    }
