"""A Redis in the cluster without an image of its own: Debian's program, brought into a pod by `kubectl exec`."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.cluster import apt
from e2e.waiting import until

if TYPE_CHECKING:
    from e2e.kube import Kube, Object

NAME = "redis"
SECRET = "redis-login"  # noqa: S105 - its name
PASSWORD_KEY = "password"  # noqa: S105 - the key's name
_LABELS = {"app.kubernetes.io/name": NAME}
_PYTHON = "/app/bin/python"
_PROGRAM = "redis-check-rdb"  # the server too, when it is called so
# The image has these, of the same Debian.
_OF_THE_C_LIBRARY = re.compile(r"(ld-linux.*|lib(c|m|dl|rt|pthread))\.so\.\d+")
_RUN = f"""
import os, pathlib, time
while not pathlib.Path("/redis/.complete").exists():
    time.sleep(0.1)
os.environ["LD_LIBRARY_PATH"] = "/redis/lib"
options = ["--save", "", "--dir", "/redis", "--maxmemory", "32mb", "--maxmemory-policy", "allkeys-lru"]
os.execv("/redis/{_PROGRAM}", ["redis-server", *options, "--requirepass", os.environ["PASSWORD"]])
"""
_RECEIVE = """
import pathlib, sys, tarfile
with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
    archive.extractall("/redis")
pathlib.Path("/redis/.complete").touch()
"""


def url(namespace: str) -> str:
    """The address as a pod sees it."""
    return f"redis://{NAME}.{namespace}.svc:6379"


def manifests(namespace: str, image: str) -> list[Object]:
    """One hardened pod that waits for its program, behind a Service; the password is in the Secret `SECRET`."""
    metadata = {"name": NAME, "namespace": namespace, "labels": _LABELS}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": _LABELS},
            "template": {"metadata": {"labels": _LABELS}, "spec": _pod(image)},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "selector": _LABELS,
            "ports": [{"name": "redis", "port": 6379, "targetPort": "redis", "protocol": "TCP"}],
        },
    }
    return [deployment, service]


def _pod(image: str) -> Object:
    password = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": SECRET, "key": PASSWORD_KEY}}}
    container = {
        "name": "server",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": [_PYTHON, "-c", _RUN],
        "env": [password],
        "ports": [{"name": "redis", "containerPort": 6379, "protocol": "TCP"}],
        "readinessProbe": {"tcpSocket": {"port": "redis"}, "periodSeconds": 1},
        "resources": {
            "requests": {"cpu": "10m", "memory": "32Mi"},
            "limits": {"cpu": "500m", "memory": "96Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "redis", "mountPath": "/redis"}],
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "redis", "emptyDir": {"sizeLimit": "64Mi"}}],
    }


def start(kube: Kube, namespace: str) -> None:
    """Bring the program into the pod once it runs, and wait until it answers."""
    apt.install(["redis-tools"])
    selector = f"app.kubernetes.io/name={NAME}"

    def running() -> bool:
        found = kube.list("pods", namespace=namespace, selector=selector)
        return any(pod["status"].get("phase") == "Running" for pod in found)

    def ready() -> bool:
        live = kube.get("deployments", NAME, namespace=namespace) or {}
        return bool((live.get("status") or {}).get("readyReplicas"))

    until(running, seconds=60, what="the pod of Redis to run")
    arguments = ["exec", "-i", f"--namespace={namespace}", f"deploy/{NAME}", "--", _PYTHON, "-c", _RECEIVE]
    kube.kubectl(*arguments, stdin=archive())
    until(ready, seconds=60, what="Redis to be ready")


def archive() -> bytes:
    """The program and the libraries that it needs beside those of C, as a tar file."""
    program = Path(shutil.which(_PROGRAM) or f"/usr/bin/{_PROGRAM}")
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as packed:
        packed.add(program.resolve(), _PROGRAM)
        for name, path in re.findall(r"(\S+) => (/\S+)", told):
            if not _OF_THE_C_LIBRARY.fullmatch(name):
                packed.add(Path(path).resolve(), f"lib/{name}")
    return file.getvalue()
