"""A Redis in the cluster; no Redis image is needed: `kubectl exec` copies Debian's program into a pod."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.pod_programs import receive_archive, run_redis, source
from e2e.runtime_pod import PYTHON, RuntimePod, wait_until_ready
from e2e.waiting import until
from tools import apt

if TYPE_CHECKING:
    from e2e.cluster.api import Object
    from e2e.kube import Kube

NAME = "redis"
SECRET = "redis-login"  # noqa: S105 - its name
PASSWORD_KEY = "password"  # noqa: S105 - the key's name
_PROGRAM = "redis-check-rdb"  # also the server, if argv[0] is redis-server
_PORT = 6379
_FOLDER = "/redis"
_COMPLETE = ".complete"  # the file that marks the end of the copying
_CERTIFICATE, _KEY = "tls.crt", "tls.key"
# The runtime image has these libraries, from the same Debian release.
_GLIBC = re.compile(r"(ld-linux.*|lib(c|m|dl|rt|pthread))\.so\.\d+")

_POD = RuntimePod(
    name=NAME,
    container="server",
    command=(PYTHON, "-c", source(run_redis), _FOLDER, _COMPLETE, str(_PORT), _PROGRAM, _CERTIFICATE, _KEY),
    port_name="redis",
    container_port=_PORT,
    service_port=_PORT,
    probe={"tcpSocket": {"port": "redis"}},
    volume_name="redis",
    volume={"emptyDir": {"sizeLimit": "64Mi"}},
    mount_path=_FOLDER,
    env=({"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": SECRET, "key": PASSWORD_KEY}}},),
    memory="96Mi",
)


def host(namespace: str) -> str:
    """The host name for pods."""
    return f"{NAME}.{namespace}.svc"


def url(namespace: str, *, tls: bool = False) -> str:
    """The URL for pods."""
    return f"{'rediss' if tls else 'redis'}://{host(namespace)}:{_PORT}"


def manifests(namespace: str, image: str) -> list[Object]:
    """One hardened pod that waits for its program, behind a Service; the password is in the Secret `SECRET`."""
    return _POD.manifests(namespace, image)


def start(kube: Kube, namespace: str, *, certificate: Path | None = None) -> None:
    """Copy the program into the pod once it runs, and wait until it is ready.

    With a certificate, whose key is next to it with the suffix `.key`, it serves TLS only.
    """
    apt.install(["redis-tools"])
    selector = f"app.kubernetes.io/name={NAME}"

    def running() -> bool:
        found = kube.list("pods", namespace=namespace, selector=selector)
        return any(pod["status"].get("phase") == "Running" for pod in found)

    until(running, seconds=60, what="the pod of Redis to run")
    _POD.run_python(kube, namespace, source(receive_archive), _FOLDER, _COMPLETE, stdin=archive(certificate))
    wait_until_ready(kube, namespace, NAME, what="Redis")


def archive(certificate: Path | None = None) -> bytes:
    """The program and its libraries except those of glibc, and a certificate with its key, as a tar file."""
    program = Path(shutil.which(_PROGRAM) or f"/usr/bin/{_PROGRAM}")
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as packed:
        packed.add(program.resolve(), _PROGRAM)
        for name, path in re.findall(r"(\S+) => (/\S+)", linked):
            if not _GLIBC.fullmatch(name):
                packed.add(Path(path).resolve(), f"lib/{name}")
        if certificate is not None:
            packed.add(certificate, _CERTIFICATE)
            packed.add(certificate.with_suffix(".key"), _KEY)
    return file.getvalue()
