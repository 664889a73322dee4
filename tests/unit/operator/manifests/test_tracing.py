"""The settings of tracing: none without an endpoint, and the headers from the Secret."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.operator.manifests.building import FETCHED, template

_ENDPOINT = "http://collector.observability.svc:4318"


@pytest.mark.parametrize("tracing", [None, {"otlpEndpoint": ""}])
def test_without_an_endpoint_the_pod_is_unchanged(tracing: dict[str, Any] | None) -> None:
    assert template({} if tracing is None else {"tracing": tracing}) == template()
    assert "OTEL_" not in str(template({} if tracing is None else {"tracing": tracing}))


def test_only_the_server_gets_the_headers_from_the_secret() -> None:
    spec = {"tracing": {"otlpEndpoint": _ENDPOINT, "headersSecretRef": {"name": "collector"}}}
    pod = template({**FETCHED, **spec})["spec"]
    reference = {"secretKeyRef": {"name": "collector", "key": "OTEL_EXPORTER_OTLP_HEADERS"}}
    assert {"name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": reference} in pod["containers"][0]["env"]
    assert "OTEL_" not in str(pod["initContainers"])
