"""A receiver of traces in the cluster: `e2e/otlp.py`, run by the runtime's image with its text in a ConfigMap."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from e2e import otlp
from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.kube import Kube, Object

NAME = "trace-receiver"
PORT = 4318
"""The port that OTLP over HTTP has by convention."""

_LABELS = {"app.kubernetes.io/name": NAME}
_PYTHON = "/app/bin/python"
_READ = f"""
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:{PORT}/spans", timeout=10).read().decode())
"""


def endpoint(namespace: str) -> str:
    """The receiver's address, as a pod sees it."""
    return f"http://{NAME}.{namespace}.svc:{PORT}"


def manifests(namespace: str, image: str) -> list[Object]:
    """The receiver: one hardened pod behind a Service."""
    metadata = {"name": NAME, "namespace": namespace, "labels": _LABELS}
    program = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": {"otlp.py": Path(otlp.__file__).read_text()},
    }
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
            "ports": [{"name": "otlp-http", "port": PORT, "targetPort": "otlp-http", "protocol": "TCP"}],
        },
    }
    return [program, deployment, service]


def _pod(image: str) -> Object:
    container = {
        "name": "receiver",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": [_PYTHON, "/program/otlp.py", str(PORT)],
        "ports": [{"name": "otlp-http", "containerPort": PORT, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/spans", "port": "otlp-http"}, "periodSeconds": 1},
        "resources": {
            "requests": {"cpu": "10m", "memory": "32Mi"},
            "limits": {"cpu": "500m", "memory": "128Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "program", "mountPath": "/program", "readOnly": True}],
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "program", "configMap": {"name": NAME}}],
    }


def wait_receiver(kube: Kube, namespace: str) -> None:
    """Wait until the receiver answers."""

    def ready() -> bool:
        live = kube.get("deployments", NAME, namespace=namespace) or {}
        return bool((live.get("status") or {}).get("readyReplicas"))

    until(ready, seconds=60, what="the receiver of traces to be ready")


def wait_spans(kube: Kube, namespace: str, probe: Callable[[list[Object]], bool], what: str) -> list[Object]:
    """Wait until the spans that came are as `probe` wants them; returns all of them, as `otlp.Span` has them."""
    came: list[Object] = []

    def there() -> bool:
        arguments = ["exec", f"--namespace={namespace}", f"deploy/{NAME}", "--", _PYTHON, "-c", _READ]
        came[:] = json.loads(kube.kubectl(*arguments))
        return probe(came)

    until(there, seconds=60, what=what, every=1, otherwise=lambda: f"{len(came)} spans came")
    return came
