"""Installs the add-ons CoreDNS and metrics-server as pods."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2e.cluster import program_images
from e2e.cluster.errors import ClusterError
from e2e.cluster.kubectl import KubectlError, run_kubectl
from tools.steps import say

if TYPE_CHECKING:
    from e2e.cluster.program_images import ProgramImage

_MANIFESTS = Path(__file__).parent / "addons"


def install(state: Path, kubeconfig: Path) -> None:
    """Apply the add-ons' manifests. Raises ClusterError."""
    for name, overlay in (("coredns", _coredns), ("metrics-server", _metrics_server)):
        folder = state / "addons" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "kustomization.yaml").write_text(json.dumps(overlay(folder), indent=1))
        _apply(kubeconfig, folder)


def _apply(kubeconfig: Path, folder: Path) -> None:
    arguments = ("apply", "--server-side", "-k", str(folder))
    try:
        run_kubectl(arguments, options=[f"--kubeconfig={kubeconfig}"], timeout_seconds=60, on_warning=say)
    except KubectlError as error:
        raise ClusterError(f"could not install {folder.name}: {error}") from error


def _coredns(folder: Path) -> dict[str, Any]:
    shutil.copy2(_MANIFESTS / "coredns.yaml", folder)
    return {"resources": ["coredns.yaml"], "images": [_image("coredns", program_images.COREDNS)]}


def _metrics_server(folder: Path) -> dict[str, Any]:
    """The release's manifests, with the image on the node and verification of the kubelet's certificate."""
    image = program_images.METRICS_SERVER
    shutil.copytree(image.module.files_home, folder / "base")
    return {
        "resources": ["base"],
        "images": [_image("gcr.io/k8s-staging-metrics-server/metrics-server", image)],
        "patches": [{"patch": json.dumps(_METRICS_SERVER_PATCH), "target": {"kind": "Deployment"}}],
    }


_METRICS_SERVER_PATCH = [
    {
        "op": "add",
        "path": "/spec/template/spec/containers/0/args/-",
        "value": "--kubelet-certificate-authority=/cluster-ca/ca.crt",
    },
    {
        "op": "add",
        "path": "/spec/template/spec/containers/0/volumeMounts/-",
        "value": {"name": "cluster-ca", "mountPath": "/cluster-ca", "readOnly": True},
    },
    {
        "op": "add",
        "path": "/spec/template/spec/volumes/-",
        "value": {"name": "cluster-ca", "configMap": {"name": "kube-root-ca.crt"}},
    },
]
"""The cluster's CA signs the kubelet's certificate; every namespace has the CA certificate in a ConfigMap."""


def _image(name: str, image: ProgramImage) -> dict[str, str]:
    new_name, _, tag = image.name.rpartition(":")
    return {"name": name, "newName": new_name, "newTag": tag}
