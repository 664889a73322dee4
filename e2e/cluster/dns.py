"""Names of Services for pods: dnsmasq, fed by a watch on Services and Endpoints; it knows nothing else."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.cluster.api import Api, ApiError, Object
from e2e.cluster.network import ADDRESS, DOMAIN
from e2e.cluster.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Iterable

USER = "system:serviceaccount:kube-system:kube-dns"
"""Kubernetes' own role `system:kube-dns` is bound to this name from the start."""
KINDS = {"services": "/api/v1/services", "endpoints": "/api/v1/endpoints"}
Store = dict[str, dict[tuple[str, str], Object]]


def dnsmasq_command(state: Path) -> list[str]:
    """A name server on the bridge that knows our hosts and answers «no such name» to all else."""
    return [
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        f"--listen-address={ADDRESS}",
        "--bind-interfaces",
        "--no-resolv",
        "--no-hosts",
        f"--addn-hosts={state / 'dns'}",
        "--address=/#/",
        "--cache-size=0",
        "--user=root",
        "--pid-file=",
        "--log-facility=-",
    ]


def feeder_command(state: Path) -> list[str]:
    """The feeder, which is this module, as a daemon."""
    return [sys.executable, "-m", "e2e.cluster.dns", str(state)]


def hosts(services: Iterable[Object], endpoints: Iterable[Object]) -> str:
    """The lines of a hosts file for Services: their own address, or their pods' for headless ones."""
    lines = []
    headless = set()
    for service in services:
        key = (service["metadata"]["namespace"], service["metadata"]["name"])
        address = service["spec"].get("clusterIP", "")
        if address == "None":
            headless.add(key)
        elif address:
            lines.append(_line(address, *key))
    for endpoint in endpoints:
        key = (endpoint["metadata"]["namespace"], endpoint["metadata"]["name"])
        if key not in headless:
            continue
        for subset in endpoint.get("subsets") or []:
            for pod in subset.get("addresses") or []:
                lines.append(_line(pod["ip"], *key))
                if pod.get("hostname"):
                    lines.append(_line(pod["ip"], key[0], f"{pod['hostname']}.{key[1]}"))
    return "".join(sorted(set(lines)))


def _line(address: str, namespace: str, name: str) -> str:
    return f"{address} {name}.{namespace}.svc.{DOMAIN} {name}.{namespace}.svc\n"


class Feeder:
    """Keeps the hosts file like the Services and tells dnsmasq when it changed."""

    def __init__(self, state: Path) -> None:
        self._api = Api(state / "pki" / "dns.kubeconfig")
        self._file = state / "dns" / "services"
        self._processes = Processes(state)
        self._store: Store = {kind: {} for kind in KINDS}
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._complete = dict.fromkeys(KINDS, False)

    def run(self) -> None:
        """Feed for ever."""
        for kind in KINDS:
            threading.Thread(target=self._follow, args=(kind,), daemon=True).start()
        while True:
            self._changed.wait()
            self._changed.clear()
            with self._lock:
                if not all(self._complete.values()):
                    continue
                text = hosts(self._store["services"].values(), self._store["endpoints"].values())
            self._publish(text)

    def _publish(self, text: str) -> None:
        if self._file.exists() and self._file.read_text() == text:
            return
        # The new file must not lie in the folder that dnsmasq reads.
        staged = self._file.parent.with_suffix(".new")
        staged.write_text(text)
        staged.rename(self._file)
        self._processes.signal("dnsmasq", signal.SIGHUP)

    def _follow(self, kind: str) -> None:
        while True:
            try:
                self._list_and_watch(kind)
            except ApiError as error:
                print(f"{kind}: {error}", file=sys.stderr, flush=True)
                time.sleep(0.5)

    def _list_and_watch(self, kind: str) -> None:
        listed = self._api.request("GET", KINDS[kind])
        with self._lock:
            self._store[kind] = {_key(item): item for item in listed["items"]}
            self._complete[kind] = True
        self._changed.set()
        version = listed["metadata"]["resourceVersion"]
        for event in self._api.watch(KINDS[kind], version, seconds=600):
            if event["type"] == "ERROR":
                return
            with self._lock:
                if event["type"] == "DELETED":
                    self._store[kind].pop(_key(event["object"]), None)
                else:
                    self._store[kind][_key(event["object"])] = event["object"]
            self._changed.set()


def _key(item: Object) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def lookup(name: str, *, server: str = ADDRESS, timeout: float = 1.0) -> list[str]:
    """The IPv4 addresses of a name as a name server gives them; none when it does not know it."""
    identity = int.from_bytes(os.urandom(2), "big")
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    question = struct.pack(">6H", identity, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.settimeout(timeout)
        out.sendto(question, (server, 53))
        try:
            answer = out.recv(4096)
        except OSError:
            return []
    count = struct.unpack(">6H", answer[:12])[3]
    position, found = len(question), []
    for _ in range(count):
        # Each answer begins with a pointer to the name in the question (2 bytes).
        kind, _, _, length = struct.unpack(">2HIH", answer[position + 2 : position + 12])
        data = answer[position + 12 : position + 12 + length]
        position += 12 + length
        if kind == 1:
            found.append(socket.inet_ntoa(data))
    return found


def main() -> None:
    """Run the feeder until it is stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path)
    Feeder(parser.parse_args().state).run()


if __name__ == "__main__":
    main()
