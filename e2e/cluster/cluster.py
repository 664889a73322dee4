"""Starts and stops the local cluster, in idempotent steps."""

from __future__ import annotations

import datetime
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.cluster import (
    addons,
    containerd,
    leftovers,
    network,
    node,
    preflight,
    program_images,
    programs,
    workloads,
)
from e2e.cluster.api import ApiError, connect
from e2e.cluster.controlplane import ControlPlane, Settings, controller_manager_command
from e2e.cluster.errors import ClusterError
from e2e.cluster.paths import state_dir
from e2e.cluster.processes import Processes, wait_until
from tools.errors import ToolError
from tools.guards import hold_lock
from tools.steps import say, step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from e2e.cluster.api import Api, Object

COMPONENTS = (
    "etcd",
    "kube-apiserver",
    "containerd",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
)
SETTINGS = Settings(
    address=network.ADDRESS,
    port=6443,
    etcd_port=12379,
    etcd_peer_port=12380,
    service_range=network.SERVICE_RANGE,
    context="imageclassifier-local",
    has_nodes=True,
)
_LOCK = Path("/run/imageclassifier-cluster.lock")
_NODE_SECONDS = 90
_FIRST_SYNC_SECONDS = 2.5


class Cluster:
    """The one local cluster of this machine."""

    def __init__(self, state: Path | None = None) -> None:
        self.state = state or state_dir()
        self.kubeconfig = self.state / "kubeconfig"
        self.processes = Processes(self.state)

    def stopped(self) -> list[str]:
        """Components that are not running."""
        return [name for name in COMPONENTS if not self.processes.alive(name)]

    def is_up(self) -> bool:
        """Whether every component runs and the API server is ready."""
        return not self.stopped() and self.kubeconfig.exists() and connect(self.kubeconfig).ready()

    def up(self) -> None:
        """Start what is not running; return once pods can be scheduled and DNS names resolve."""
        preflight.require_root()
        preflight.install_packages()
        with hold_lock(_LOCK, "changing the local cluster"):
            # Check the machine before the long build.
            started_before = (self.state / "before.json").exists()
            preflight.check_machine(self.state, started_before=started_before)
            paths = programs.ensure(*programs.CLUSTER)
            try:
                self._prepare()
            except ToolError:
                if not started_before:
                    self._stop()
                raise
            starting = self.stopped()
            if starting:
                say(f"Starting the local cluster: {', '.join(starting)}")
            self._start(paths)
            self._wait_until_usable()
        say(f"The local cluster is up: {SETTINGS.server}, kubeconfig {self.kubeconfig}")

    def _prepare(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True, mode=0o755)
        before = self.state / "before.json"
        if not before.exists():
            logs = [str(folder) for folder in leftovers.POD_LOGS if folder.exists()]
            before.write_text(json.dumps({"pod_logs": logs}))
        network.up(self.state / "sysctl.json")
        for name in set(preflight.PORTS) & set(self.stopped()):
            preflight.check_port(name)

    def _start(self, paths: Mapping[str, Path]) -> None:
        state, ensure = self.state, self.processes.ensure
        for folder in ("logs", "volume-plugins"):
            (state / folder).mkdir(exist_ok=True)
        containerd.write_files(state, pause_image=program_images.PAUSE.name)
        ensure("containerd", containerd.command(state))
        plane = ControlPlane(state, settings=SETTINGS)
        plane.start()
        self._issue_certificates(plane)
        node.write_files(state)
        manager = controller_manager_command(paths["kube-controller-manager"], state, port=10257)
        ensure("kube-controller-manager", manager)
        ensure("kube-scheduler", node.scheduler_command(paths["kube-scheduler"], state))
        ensure("kube-proxy", node.kube_proxy_command(paths["kube-proxy"], state))
        hint = self._log_hint("containerd")
        wait_until(lambda: containerd.responds(state), seconds=30, what="containerd", hint=hint)
        for image in program_images.ALL:
            containerd.load(state, program_images.ensure(image))
        ensure("kubelet", node.kubelet_command(paths["kubelet"], state))
        addons.install(state, self.kubeconfig)

    def _issue_certificates(self, plane: ControlPlane) -> None:
        user = f"system:node:{node.NAME}"
        plane.authority().issue("kubelet", user=user, groups=["system:nodes"], hosts=[node.NAME, network.ADDRESS])
        plane.issue_kubeconfig("kubelet", user=user, groups=("system:nodes",))
        plane.issue_kubeconfig("kube-proxy", user="system:kube-proxy")

    def _log_hint(self, name: str) -> str:
        return f"see {self.processes.log(name)}"

    def _wait_until_usable(self) -> None:
        api = connect(self.kubeconfig)
        self._wait_for("kubelet", "the node to be Ready", lambda: _node_ready(api))
        service = SETTINGS.service_address
        what = "the API server's Service to accept connections"
        self._wait_for("kube-proxy", what, lambda: _connects(service, 443))
        # CoreDNS is an endpoint of its Service once it knows every Service.
        self._wait_for("kubelet", "names of Services to resolve", lambda: _connects(network.DNS_ADDRESS, 53))
        self._wait_for("kube-controller-manager", "the default ServiceAccount", lambda: _account_exists(api))

    def _wait_for(self, name: str, what: str, condition: Callable[[], bool]) -> None:
        def alive_and_met() -> bool:
            self.processes.require_alive(name)
            return condition()

        if not condition():
            with step(f"Waiting for {what}"):
                wait_until(alive_and_met, seconds=_NODE_SECONDS, what=what, hint=self._log_hint(name))

    def down(self) -> None:
        """Stop everything and revert every change to the machine; safe at any time, also if only partly up."""
        preflight.require_root()
        with hold_lock(_LOCK, "changing the local cluster"):
            if not self.state.exists():
                say("The local cluster does not exist; nothing to stop")
                return
            with step("Stopping the local cluster"):
                self._stop()
        left = leftovers.find(self.state)
        if left:
            raise ClusterError("left behind:\n  " + "\n  ".join(left))
        say("Stopped: no process, mount, cgroup, bridge or iptables rule is left")

    def _stop(self) -> None:
        # First stop the components that create pods, then the pods, then the components that run pods.
        for name in ("kube-controller-manager", "kube-scheduler"):
            self.processes.stop(name)
        if self.processes.alive("kubelet") and self.processes.alive("kube-apiserver"):
            workloads.delete_pods(self.kubeconfig, seconds=20)
        for name in ("kubelet", "kube-proxy"):
            self.processes.stop(name)
        leftovers.kill_pods(self.state)
        for name in ("containerd", "kube-apiserver", "etcd"):
            self.processes.stop(name)
        for name in self.processes.names():
            self.processes.stop(name)
        leftovers.unmount(self.state)
        leftovers.remove_cgroups()
        network.down(self.state / "sysctl.json")
        before = self.state / "before.json"
        had_logs = json.loads(before.read_text())["pod_logs"] if before.exists() else True
        leftovers.remove_files(self.state, pod_logs=not had_logs)

    def load(self, archive: Path) -> None:
        """Import a docker-archive into the node, unless it is there already."""
        preflight.require_root()
        if not self.processes.alive("containerd"):
            raise ClusterError("the local cluster is not up; run `make cluster-up` first")
        with hold_lock(_LOCK, "changing the local cluster"):
            if not containerd.load(self.state, archive):
                say(f"{', '.join(containerd.archive_images(archive))}: already loaded")


def _node_ready(api: Api) -> bool:
    try:
        live = api.get("nodes", node.NAME)
        if live is None:
            return False
        if not live["spec"].get("podCIDR"):
            # kubelet reports its status when it gets its podCIDR, then only every 10 s. So set it once kubelet has
            # had time to sync its containers. (kube-controller-manager would first wait 10 s before it sets one.)
            if _age(live) < _FIRST_SYNC_SECONDS:
                return False
            ranges = {"podCIDR": network.POD_RANGE, "podCIDRs": [network.POD_RANGE]}
            live = api.patch("nodes", node.NAME, {"spec": ranges})
    except ApiError:
        return False
    conditions = live.get("status", {}).get("conditions", [])
    ready = any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
    return ready and not live["spec"].get("taints")


def _age(live: Object) -> float:
    created = datetime.datetime.fromisoformat(live["metadata"]["creationTimestamp"])
    return (datetime.datetime.now(datetime.UTC) - created).total_seconds()


def _account_exists(api: Api) -> bool:
    try:
        return api.get("serviceaccounts", "default", namespace="default") is not None
    except ApiError:
        return False


def _connects(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True
