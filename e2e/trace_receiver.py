"""A trace receiver in the cluster: `e2e/otlp.py` from a ConfigMap, run in the runtime image."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from e2e import otlp
from e2e.pod_programs import get_body, source
from e2e.runtime_pod import PYTHON, RuntimePod, wait_until_ready
from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.cluster.api import Object
    from e2e.kube import Kube

NAME = "trace-receiver"
PORT = 4318
"""The default port of OTLP/HTTP."""

_SPANS = f"http://127.0.0.1:{PORT}/spans"

_POD = RuntimePod(
    name=NAME,
    container="receiver",
    command=(PYTHON, "/program/otlp.py", str(PORT)),
    port_name="otlp-http",
    container_port=PORT,
    service_port=PORT,
    probe={"httpGet": {"path": "/spans", "port": "otlp-http"}},
    volume_name="program",
    volume={"configMap": {"name": NAME}},
    mount_path="/program",
)


def endpoint(namespace: str) -> str:
    """The receiver's URL, for pods."""
    return f"http://{NAME}.{namespace}.svc:{PORT}"


def manifests(namespace: str, image: str) -> list[Object]:
    """The receiver: one hardened pod behind a Service."""
    program = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": namespace, "labels": {"app.kubernetes.io/name": NAME}},
        "data": {"otlp.py": source(otlp)},
    }
    return [program, *_POD.manifests(namespace, image)]


def wait_for_receiver(kube: Kube, namespace: str) -> None:
    """Wait until the receiver is ready."""
    wait_until_ready(kube, namespace, NAME, what="the trace receiver")


def wait_for_spans(kube: Kube, namespace: str, probe: Callable[[list[Object]], bool], what: str) -> list[Object]:
    """Wait until `probe` accepts the received spans; returns them all, with the fields of `otlp.Span`."""
    received: list[Object] = []

    def accepted() -> bool:
        received[:] = json.loads(_POD.run_python(kube, namespace, source(get_body), _SPANS))
        return probe(received)

    until(accepted, seconds=60, what=what, every=1, describe=lambda: f"{len(received)} spans received")
    return received
