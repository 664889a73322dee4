"""Starts an API server with its etcd, for the local cluster and for tests."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from e2e.cluster import programs
from e2e.cluster.api import connect
from e2e.cluster.network import DOMAIN
from e2e.cluster.pki import Authority, signing_key, write_kubeconfig
from e2e.cluster.processes import Processes, wait_until

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

ADMIN = "imageclassifier-admin"
"""The user in the cluster's kubeconfig."""
ISSUER = f"https://kubernetes.default.svc.{DOMAIN}"
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    # One line for each completed request; a watch has one more, at its start.
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
_READY_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Addresses and names of an API server and its etcd."""

    address: str = "127.0.0.1"
    port: int
    etcd_port: int
    etcd_peer_port: int
    service_range: str = "10.96.0.0/16"
    service_address: str = "10.96.0.1"
    context: str = "imageclassifier-test"
    has_nodes: bool = False
    """Whether pods run in the cluster: they need the API server's Service, and it connects to kubelet."""

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{self.address}:{self.port}"


def free_ports(count: int) -> list[int]:
    """Ports on loopback that are free now."""
    with ExitStack() as held:
        ports = []
        for _ in range(count):
            listener = held.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports.append(listener.getsockname()[1])
        return ports


def etcd_command(program: Path, directory: Path, settings: Settings) -> list[str]:
    """The command line of etcd, on loopback; clients need a certificate from etcd's CA."""
    pki = directory / "pki"
    client = f"https://127.0.0.1:{settings.etcd_port}"
    peer = f"https://127.0.0.1:{settings.etcd_peer_port}"
    return [
        str(program),
        "--name=local",
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=local={peer}",
        f"--cert-file={pki / 'etcd.crt'}",
        f"--key-file={pki / 'etcd.key'}",
        "--client-cert-auth",
        f"--trusted-ca-file={pki / 'etcd-ca.crt'}",
        f"--peer-cert-file={pki / 'etcd.crt'}",
        f"--peer-key-file={pki / 'etcd.key'}",
        "--peer-client-cert-auth",
        f"--peer-trusted-ca-file={pki / 'etcd-ca.crt'}",
        "--log-level=warn",
    ]


def apiserver_command(program: Path, directory: Path, settings: Settings) -> list[str]:
    """The command line of kube-apiserver."""
    pki = directory / "pki"
    command = [
        str(program),
        f"--bind-address={settings.address}",
        f"--secure-port={settings.port}",
        f"--advertise-address={settings.address}",
        f"--service-cluster-ip-range={settings.service_range}",
        f"--etcd-servers=https://127.0.0.1:{settings.etcd_port}",
        f"--etcd-cafile={pki / 'etcd-ca.crt'}",
        f"--etcd-certfile={pki / 'etcd-client.crt'}",
        f"--etcd-keyfile={pki / 'etcd-client.key'}",
        f"--cert-dir={pki}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-signing-key-file={pki / 'service-account.key'}",
        f"--service-account-key-file={pki / 'service-account.pub'}",
        # The aggregation layer: aggregated APIs trust the front proxy's certificate.
        f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki / 'front-proxy-client.crt'}",
        f"--proxy-client-key-file={pki / 'front-proxy-client.key'}",
        f"--audit-policy-file={directory / 'audit-policy.json'}",
        f"--audit-log-path={directory / 'logs' / 'audit.log'}",
        "--audit-log-maxsize=100",
        "--audit-log-maxbackup=5",
        "--profiling=false",
    ]
    if settings.has_nodes:
        return [
            *command,
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-certificate-authority={pki / 'ca.crt'}",
            f"--kubelet-client-certificate={pki / 'apiserver-kubelet-client.crt'}",
            f"--kubelet-client-key={pki / 'apiserver-kubelet-client.key'}",
        ]
    # A loopback address cannot be an endpoint, and no pods need one.
    return [*command, "--endpoint-reconciler-type=none"]


def controller_manager_command(program: Path, directory: Path, *, port: int) -> list[str]:
    """The command line of kube-controller-manager."""
    pki, kubeconfig = directory / "pki", directory / "pki" / "controller-manager.kubeconfig"
    return [
        str(program),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={pki}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--cluster-signing-cert-file={pki / 'ca.crt'}",
        f"--cluster-signing-key-file={pki / 'ca.key'}",
        f"--service-account-private-key-file={pki / 'service-account.key'}",
        "--use-service-account-credentials=true",
        f"--flex-volume-plugin-dir={directory / 'volume-plugins'}",
        # A single replica: leader election would only delay its start and fill the audit log.
        "--leader-elect=false",
        # Its many controllers share this limit when they start.
        "--kube-api-qps=100",
        "--kube-api-burst=200",
    ]


class ControlPlane:
    """etcd, kube-apiserver and optionally kube-controller-manager on loopback, in one folder.

    For tests it is a context manager; its processes die with the process that started them.
    It needs neither root nor a network, and several can run alongside each other and the local cluster.
    """

    def __init__(
        self,
        directory: Path,
        *,
        controller_manager: bool = False,
        settings: Settings | None = None,
        kubernetes: programs.Module = programs.KUBERNETES,
    ) -> None:
        self.directory = directory
        self.settings = settings or _free_settings()
        self.kubeconfig = directory / "kubeconfig"
        self.audit_log = directory / "logs" / "audit.log"
        self.processes = Processes(directory, die_with_parent=settings is None)
        self._with_controller_manager = controller_manager
        self._manager_port = free_ports(1)[0] if controller_manager else 0
        self._programs = programs.ensure(kubernetes, programs.ETCD)

    def __enter__(self) -> ControlPlane:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start what is not running, and return once the API server is ready."""
        self._write_files()
        paths, folder = self._programs, self.directory
        self.processes.ensure("etcd", etcd_command(paths["etcd"], folder, self.settings))
        command = apiserver_command(paths["kube-apiserver"], folder, self.settings)
        self.processes.ensure("kube-apiserver", command)
        self.wait_until_ready()
        if self._with_controller_manager:
            program = paths["kube-controller-manager"]
            command = controller_manager_command(program, folder, port=self._manager_port)
            self.processes.ensure("kube-controller-manager", command)

    def wait_until_ready(self) -> None:
        """Wait until `/readyz` succeeds. If a component exits, the error contains the end of its log."""
        api = connect(self.kubeconfig)

        def ready() -> bool:
            self.processes.require_alive("etcd")
            self.processes.require_alive("kube-apiserver")
            return api.ready()

        wait_until(
            ready,
            seconds=_READY_SECONDS,
            what=f"the API server at {self.settings.server}",
            hint=f"see {self.processes.log('kube-apiserver')}",
        )

    def stop(self) -> None:
        """Stop the processes; the folder stays."""
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            self.processes.stop(name)

    def authority(self) -> Authority:
        """The cluster's certificate authority."""
        return Authority(self.directory / "pki", "ca")

    def issue_kubeconfig(self, name: str, *, user: str, groups: tuple[str, ...] = ()) -> Path:
        """A kubeconfig with a new client certificate for a user."""
        path = self.directory / "pki" / f"{name}.kubeconfig"
        self._kubeconfig(path, name=name, user=user, groups=groups)
        return path

    def _kubeconfig(self, path: Path, *, name: str, user: str, groups: tuple[str, ...]) -> None:
        authority = self.authority()
        write_kubeconfig(
            path,
            server=self.settings.server,
            authority=authority.certificate,
            certificate=authority.issue(name, user=user, groups=groups),
            context=self.settings.context,
        )

    def _write_files(self) -> None:
        settings, pki = self.settings, self.directory / "pki"
        for folder in (self.directory, self.directory / "logs"):
            folder.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o755)
        authority = self.authority()
        local = ["127.0.0.1", "localhost"]
        service = [f"kubernetes{suffix}" for suffix in ("", ".default", ".default.svc", f".default.svc.{DOMAIN}")]
        hosts = list(dict.fromkeys([settings.address, settings.service_address, *local, *service]))
        authority.issue("apiserver", user="kube-apiserver", hosts=hosts)
        authority.issue(
            "apiserver-kubelet-client", user="kube-apiserver-kubelet-client", groups=["system:masters"]
        )
        Authority(pki, "front-proxy-ca").issue("front-proxy-client", user="front-proxy-client")
        etcd_authority = Authority(pki, "etcd-ca")
        etcd_authority.issue("etcd", user="etcd", hosts=local)
        etcd_authority.issue("etcd-client", user="kube-apiserver")
        signing_key(pki, "service-account")
        (self.directory / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY, indent=1))
        self._kubeconfig(self.kubeconfig, name=ADMIN, user=ADMIN, groups=("system:masters",))
        self.issue_kubeconfig("controller-manager", user="system:kube-controller-manager")
        self.issue_kubeconfig("scheduler", user="system:kube-scheduler")


def _free_settings() -> Settings:
    port, etcd_port, peer_port = free_ports(3)
    return Settings(port=port, etcd_port=etcd_port, etcd_peer_port=peer_port)
