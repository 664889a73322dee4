"""Configuration and command lines of kubelet, kube-proxy and kube-scheduler."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from e2e.cluster.containerd import socket_path
from e2e.cluster.network import ADDRESS, DNS_ADDRESS, DOMAIN, POD_RANGE

if TYPE_CHECKING:
    from pathlib import Path

NAME = "imageclassifier-local"


def write_files(state: Path) -> None:
    """Write the configuration of kubelet and kube-proxy."""
    (state / "kubelet.json").write_text(json.dumps(kubelet_configuration(state), indent=1))
    proxy = state / "kube-proxy.json"
    text = json.dumps(kube_proxy_configuration(state), indent=1)
    # kube-proxy exits when its file is written, even with the same content.
    if not proxy.exists() or proxy.read_text() != text:
        proxy.write_text(text)
    # For pods: only the cluster's DNS, not the machine's own name servers, which are external.
    (state / "resolv.conf").write_text(f"nameserver {DNS_ADDRESS}\n")


def kubelet_configuration(state: Path) -> dict[str, Any]:
    """A kubelet for root in a container or on a small machine, listening on the bridge address only."""
    pki = state / "pki"
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "readOnlyPort": 0,
        "healthzBindAddress": "127.0.0.1",
        "tlsCertFile": str(pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet.key"),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": DOMAIN,
        "resolvConf": str(state / "resolv.conf"),
        "cgroupDriver": "cgroupfs",
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        # By default, the size of volumes is measured once a minute; pods with too large ones are then evicted.
        "volumeStatsAggPeriod": "10s",
        # Images are imported, and a garbage-collected one could not be pulled again.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "containerLogMaxSize": "20Mi",
        "containerLogMaxFiles": 3,
        "maxPods": 200,
        "oomScoreAdj": 0,
        "volumePluginDir": str(state / "volume-plugins"),
        "podLogsDir": str(state / "pod-logs"),
        # kubelet rejects cgroup v1 by default, but many Debian 12 machines have it.
        "failCgroupV1": False,
    }


def kube_proxy_configuration(state: Path) -> dict[str, Any]:
    """Services through iptables; the machine's connection tracking settings are left unchanged."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "bindAddress": ADDRESS,
        "healthzBindAddress": f"{ADDRESS}:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "clusterCIDR": POD_RANGE,
        "hostnameOverride": NAME,
        "nodePortAddresses": [f"{ADDRESS}/32"],
        "oomScoreAdj": 0,
        "clientConnection": {"kubeconfig": str(state / "pki" / "kube-proxy.kubeconfig")},
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }


def kubelet_command(program: Path, state: Path) -> list[str]:
    """The command line of kubelet."""
    return [
        str(program),
        f"--config={state / 'kubelet.json'}",
        f"--kubeconfig={state / 'pki' / 'kubelet.kubeconfig'}",
        f"--root-dir={state / 'kubelet'}",
        f"--cert-dir={state / 'pki'}",
        f"--hostname-override={NAME}",
        f"--node-ip={ADDRESS}",
        f"--container-runtime-endpoint=unix://{socket_path(state)}",
    ]


def kube_proxy_command(program: Path, state: Path) -> list[str]:
    """The command line of kube-proxy."""
    return [str(program), f"--config={state / 'kube-proxy.json'}"]


def scheduler_command(program: Path, state: Path) -> list[str]:
    """The command line of kube-scheduler."""
    kubeconfig = state / "pki" / "scheduler.kubeconfig"
    return [
        str(program),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--cert-dir={state / 'pki'}",
        f"--client-ca-file={state / 'pki' / 'ca.crt'}",
        f"--requestheader-client-ca-file={state / 'pki' / 'front-proxy-ca.crt'}",
        "--leader-elect=false",
    ]
