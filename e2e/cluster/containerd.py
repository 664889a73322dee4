"""The cluster's own containerd, separate from any other on the machine, and its images."""

from __future__ import annotations

import json
import subprocess
import tarfile
from typing import TYPE_CHECKING, Any

from e2e.cluster.errors import ClusterError
from e2e.cluster.network import BRIDGE, POD_RANGE
from tools.steps import step

if TYPE_CHECKING:
    from pathlib import Path

CNI_NETWORK = "imageclassifier-local"
_CNI_PROGRAMS = "/usr/lib/cni"


def socket_path(state: Path) -> Path:
    """The socket that containerd listens on."""
    return state / "containerd" / "containerd.sock"


def write_files(state: Path, *, pause_image: str) -> None:
    """Write the configuration of containerd and of the CNI plugins."""
    home, cni = state / "containerd", state / "cni"
    home.mkdir(parents=True, exist_ok=True)
    (cni / "net.d").mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text(configuration(state, pause_image=pause_image))
    (cni / "net.d" / "10-bridge.conflist").write_text(json.dumps(cni_configuration(state), indent=1))


def configuration(state: Path, *, pause_image: str) -> str:
    """Containerd's configuration."""
    home = state / "containerd"
    return f"""version = 2
root = "{home}/root"
state = "{home}/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
address = "{socket_path(state)}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause_image}"
# Root without CAP_SYS_RESOURCE may not lower oom_score_adj; runc would fail.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
stream_server_address = "127.0.0.1"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{_CNI_PROGRAMS}"
conf_dir = "{state}/cni/net.d"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"""


def cni_configuration(state: Path) -> dict[str, Any]:
    """Pods on the bridge, with addresses of its range; no masquerading, since no traffic leaves the machine."""
    ipam = {
        "type": "host-local",
        "dataDir": str(state / "cni" / "networks"),
        "ranges": [[{"subnet": POD_RANGE}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "hairpinMode": True, "ipam": ipam}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    return {"cniVersion": "0.4.0", "name": CNI_NETWORK, "plugins": [bridge, portmap]}


def command(state: Path) -> list[str]:
    """Containerd's command line."""
    return ["containerd", "--config", str(state / "containerd" / "config.toml")]


def ctr(state: Path, *arguments: str) -> str:
    """Run ctr in the containerd namespace of Kubernetes. Raises ClusterError."""
    completed = subprocess.run(
        ["ctr", "--address", str(socket_path(state)), "--namespace", "k8s.io", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode != 0:
        raise ClusterError(f"ctr {' '.join(arguments)} failed: {(completed.stderr or completed.stdout).strip()}")
    return completed.stdout


def responds(state: Path) -> bool:
    """Whether containerd responds."""
    try:
        ctr(state, "version")
    except ClusterError:
        return False
    return True


def archive_images(archive: Path) -> dict[str, str]:
    """The names of the images in a docker-archive, each with the digest of its configuration."""
    try:
        with tarfile.open(archive) as tar:
            member = tar.extractfile("manifest.json")
            manifest = json.load(member) if member else []
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise ClusterError(f"{archive} is not a docker-archive: {error}") from error
    return {full_name(name): entry["Config"] for entry in manifest for name in entry["RepoTags"] or []}


def full_name(name: str) -> str:
    """An image's name as containerd stores it."""
    first, slash, _ = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    return name if "." in first or ":" in first or first == "localhost" else f"docker.io/{name}"


def load(state: Path, archive: Path) -> bool:
    """Import a docker-archive; returns whether it had any new image."""
    images = archive_images(archive)
    if not images:
        raise ClusterError(f"{archive} has no image name")
    record = state / "containerd" / "loaded.json"
    known: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
    present = set(ctr(state, "images", "list", "--quiet").split())
    if all(known.get(name) == digest and name in present for name, digest in images.items()):
        return False
    with step(f"Loading {', '.join(images)}"):
        ctr(state, "images", "import", str(archive))
    record.write_text(json.dumps({**known, **images}, indent=1))
    return True
