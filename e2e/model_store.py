"""A model store in the cluster, over HTTP and S3; files are copied into it with `kubectl exec`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from e2e.install import file_sha256
from e2e.pod_programs import file_digest, folder_digest, receive_file, serve_models, source
from e2e.runtime_pod import PYTHON, RuntimePod, wait_until_ready

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.cluster.api import Object
    from e2e.kube import Kube

NAME = "model-store"
BUNDLED = "cifar10-mobilenet-v2"
S3_BUCKET = "private"
"""For S3 clients, top-level folders are buckets. This one requires requests with the access key below; the store
does not verify signatures, which unit tests do."""

S3_ACCESS_KEY = "E2EMODELSTORE"
_FOLDER = "/models"
_PORT = 8000

_POD = RuntimePod(
    name=NAME,
    container="server",
    command=(PYTHON, "-c", source(serve_models), _FOLDER, str(_PORT), BUNDLED, S3_BUCKET, S3_ACCESS_KEY),
    port_name="http",
    container_port=_PORT,
    service_port=80,
    probe={"httpGet": {"path": "/", "port": "http"}},
    volume_name="models",
    volume={"emptyDir": {"sizeLimit": "512Mi"}},
    mount_path=_FOLDER,
)


def url(namespace: str, file: str) -> str:
    """The URL of a file or folder in the store, for pods. The URL of a folder ends with a slash."""
    return f"http://{NAME}.{namespace}.svc/{file}"


def endpoint(namespace: str) -> str:
    """The store as an S3 endpoint."""
    return f"http://{NAME}.{namespace}.svc"


def manifests(namespace: str, image: str) -> list[Object]:
    """The store: one hardened pod that serves an empty folder, behind a Service."""
    return _POD.manifests(namespace, image)


def wait_for_store(kube: Kube, namespace: str) -> None:
    """Wait until the store is ready."""
    wait_until_ready(kube, namespace, NAME, what="the model store")


def put(kube: Kube, namespace: str, file: Path, *, folder: str = "") -> str:
    """Copy a file into the store, or into a folder of it, unless it is there already; returns its sha256."""
    expected = file_sha256(file)
    name = f"{folder}/{file.name}" if folder else file.name
    if _digest(kube, namespace, name) != expected:
        _POD.run_python(kube, namespace, source(receive_file), _FOLDER, name, stdin=file.read_bytes())
        stored = _digest(kube, namespace, name)
        if stored != expected:
            raise RuntimeError(f"{name} was stored with sha256 {stored}, not {expected}")
    return expected


def bundled_digest(kube: Kube, namespace: str) -> str:
    """The digest of the bundled model's folder in the store."""
    digest = _POD.run_python(kube, namespace, source(folder_digest), f"{_FOLDER}/{BUNDLED}").strip()
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise RuntimeError(f"the store reported {digest!r} instead of a digest")
    return digest


def _digest(kube: Kube, namespace: str, name: str) -> str:
    return _POD.run_python(kube, namespace, source(file_digest), f"{_FOLDER}/{name}").strip()
