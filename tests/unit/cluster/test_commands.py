"""The command lines and configurations of the cluster's components: RBAC, an audit log, no external listeners."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.cluster import cli, containerd, node
from e2e.cluster.cluster import COMPONENTS, SETTINGS
from e2e.cluster.controlplane import (
    AUDIT_POLICY,
    Settings,
    apiserver_command,
    controller_manager_command,
    etcd_command,
)

_STATE = Path("/state")
_INTERNAL_ADDRESSES = ("127.0.0.1", "10.88.0.1")
_TEST = Settings(port=1, etcd_port=2, etcd_peer_port=3)


@pytest.mark.parametrize("settings", [SETTINGS, _TEST])
def test_every_api_server_has_rbac_and_writes_an_audit_log(settings: Settings) -> None:
    command = apiserver_command(Path("kube-apiserver"), _STATE, settings)
    assert "--authorization-mode=Node,RBAC" in command
    assert "--audit-log-path=/state/logs/audit.log" in command
    assert AUDIT_POLICY["rules"] == [{"level": "Metadata"}]


def test_nothing_listens_on_an_external_address() -> None:
    kubelet, proxy = node.kubelet_configuration(_STATE), node.kube_proxy_configuration(_STATE)
    commands = [
        *etcd_command(Path("etcd"), _STATE, SETTINGS),
        *apiserver_command(Path("a"), _STATE, SETTINGS),
        *controller_manager_command(Path("b"), _STATE, port=4),
        *node.scheduler_command(Path("c"), _STATE),
    ]
    bound = [part.split("=", 1)[1] for part in commands if part.startswith(("--bind-address", "--listen-address"))]
    bound += [
        part.split("//")[1].split(":")[0] for part in commands if part.startswith("--listen-") and "//" in part
    ]
    bound += [kubelet["address"], kubelet["healthzBindAddress"]]
    bound += [proxy["healthzBindAddress"].split(":")[0], proxy["metricsBindAddress"].split(":")[0]]
    assert len(bound) == 9
    assert set(bound) <= set(_INTERNAL_ADDRESSES)
    assert 'stream_server_address = "127.0.0.1"' in containerd.configuration(_STATE, pause_image="p")
    assert kubelet["readOnlyPort"] == 0


def test_an_api_server_without_nodes_publishes_no_endpoint() -> None:
    assert "--endpoint-reconciler-type=none" in apiserver_command(Path("a"), _STATE, _TEST)
    assert "--endpoint-reconciler-type=none" not in apiserver_command(Path("a"), _STATE, SETTINGS)


def test_containerd_keeps_everything_in_the_clusters_folder() -> None:
    text = containerd.configuration(_STATE, pause_image="imageclassifier.local/pause:1")
    assert 'root = "/state/containerd/root"' in text
    assert 'address = "/state/containerd/containerd.sock"' in text
    assert "restrict_oom_score_adj = true" in text
    assert containerd.cni_configuration(_STATE)["plugins"][0]["ipam"]["dataDir"] == "/state/cni/networks"


def test_the_log_of_every_component_can_be_requested(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["logs", "--help"])
    output = capsys.readouterr().out
    assert all(component in output for component in COMPONENTS)
