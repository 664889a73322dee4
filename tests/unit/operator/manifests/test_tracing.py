"""What the server gets where traces are asked for: standard names, which the runtime understands; else nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from imageclassifier_runtime.settings import ServeSettings

from tests.unit.operator.manifests.building import template

_ENDPOINT = "http://collector.observability.svc:4318"
_FROM_POD = {"metadata.name": "pets-7d5b-x2", "metadata.uid": "0a1b", "spec.nodeName": "node-1"}


def _server(tracing: dict[str, Any] | None) -> list[dict[str, Any]]:
    (server,) = template({} if tracing is None else {"tracing": tracing})["spec"]["containers"]
    env: list[dict[str, Any]] = server["env"]
    return env


def _as_the_kubelet(env: list[dict[str, Any]]) -> dict[str, str]:
    """Return what the process sees: references to the pod, and `$(NAME)` of what stands before."""
    seen: dict[str, str] = {}
    for entry in env:
        source = entry.get("valueFrom", {})
        if "fieldRef" in source:
            seen[entry["name"]] = _FROM_POD[source["fieldRef"]["fieldPath"]]
        elif "value" in entry:
            value = re.sub(r"\$\(([A-Z_]+)\)", lambda match: seen[match[1]], entry["value"])
            seen[entry["name"]] = value.replace("$$", "$")
    return seen


def test_the_runtime_reads_what_the_operator_writes() -> None:
    env = _as_the_kubelet(_server({"otlpEndpoint": _ENDPOINT, "samplingPercent": 7}))
    tracing = ServeSettings.from_env(env).tracing
    assert tracing is not None
    assert tracing.endpoint == f"{_ENDPOINT}/v1/traces"
    assert (tracing.parent_based, tracing.ratio) == (True, 0.07)
    assert tracing.resource == {
        "service.name": "pets",
        "service.namespace": "vision",
        "service.instance.id": "vision.pets-7d5b-x2.server",
        "k8s.namespace.name": "vision",
        "k8s.deployment.name": "pets",
        "k8s.pod.name": "pets-7d5b-x2",
        "k8s.pod.uid": "0a1b",
        "k8s.node.name": "node-1",
        "k8s.container.name": "server",
    }


@pytest.mark.parametrize(("percent", "ratio"), [(0, 0.0), (1, 0.01), (50, 0.5), (100, 1.0)])
def test_a_percentage_is_a_ratio_to_the_server(percent: int, ratio: float) -> None:
    tracing = ServeSettings.from_env(
        _as_the_kubelet(_server({"otlpEndpoint": _ENDPOINT, "samplingPercent": percent}))
    ).tracing
    assert tracing is not None
    assert tracing.ratio == ratio


@pytest.mark.parametrize("tracing", [None, {"otlpEndpoint": ""}])
def test_without_an_address_the_pod_is_what_it_was(tracing: dict[str, Any] | None) -> None:
    assert template({} if tracing is None else {"tracing": tracing}) == template()
    assert "OTEL_" not in str(template({} if tracing is None else {"tracing": tracing}))


def test_the_headers_come_from_the_secret_and_to_the_server_alone() -> None:
    spec = {"tracing": {"otlpEndpoint": _ENDPOINT, "headersSecretRef": {"name": "collector"}}}
    pod = template(spec)["spec"]
    reference = {"secretKeyRef": {"name": "collector", "key": "OTEL_EXPORTER_OTLP_HEADERS"}}
    assert {"name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": reference} in pod["containers"][0]["env"]
    assert "OTEL_" not in str(pod["initContainers"])
