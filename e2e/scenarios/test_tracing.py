"""A pod sends spans, named after the object, to a receiver in the cluster; it also serves without a receiver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from e2e import trace_receiver
from e2e.classifiers import (
    CLASSIFY,
    classify,
    condition,
    manifest,
    pods,
    wait_for_endpoint,
    wait_for_reason,
    wait_for_response,
    wait_until_ready,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2e.cluster.api import Object
    from e2e.kube import Kube

_TRACE_ID, _PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_the_spans_of_a_request_reach_the_receiver(
    kube: Kube, namespace: str, images: Mapping[str, str], photograph: bytes
) -> None:
    kube.apply(*trace_receiver.manifests(namespace, images["runtime"]))
    trace_receiver.wait_for_receiver(kube, namespace)
    tracing = {"otlpEndpoint": trace_receiver.endpoint(namespace), "samplingPercent": 0}
    kube.apply(manifest("pets", namespace=namespace, spec={"tracing": tracing}))
    wait_until_ready(kube, "pets", namespace=namespace)
    endpoint = wait_for_endpoint(kube, "pets", namespace=namespace)
    wait_for_response(endpoint, photograph)  # has no parent, so it is never sampled
    headers = {"Content-Type": "image/jpeg", "traceparent": f"00-{_TRACE_ID}-{_PARENT_ID}-01"}
    with endpoint.client() as client:
        assert client.post(CLASSIFY, content=photograph, headers=headers).status_code == httpx.codes.OK

    def has_server_span(spans: list[Object]) -> bool:
        return any(span["parent_id"] == _PARENT_ID for span in spans)

    spans = trace_receiver.wait_for_spans(kube, namespace, has_server_span, "the server's span")
    assert {span["trace_id"] for span in spans} == {_TRACE_ID}
    (top,) = (span for span in spans if span["parent_id"] == _PARENT_ID)
    assert top["name"] == f"POST {CLASSIFY}"
    assert top["attributes"]["http.response.status_code"] == httpx.codes.OK
    stages = {span["name"] for span in spans if span["parent_id"] == top["span_id"]}
    assert stages == {"receive", "queue", "decode", "preprocess", "inference", "postprocess"}
    assert all(top["start"] <= span["start"] <= span["end"] <= top["end"] for span in spans)

    (pod,) = pods(kube, "pets", namespace=namespace)
    resource = top["resource"]
    assert resource["service.name"] == "pets"
    assert resource["service.namespace"] == resource["k8s.namespace.name"] == namespace
    assert resource["k8s.pod.name"] == pod["metadata"]["name"]
    assert resource["k8s.pod.uid"] == pod["metadata"]["uid"]
    assert resource["k8s.node.name"] == pod["spec"]["nodeName"]
    assert resource["service.instance.id"] == f"{namespace}.{pod['metadata']['name']}.server"


def test_a_missing_receiver_does_not_prevent_serving(kube: Kube, namespace: str, photograph: bytes) -> None:
    tracing = {"otlpEndpoint": trace_receiver.endpoint(namespace), "samplingPercent": 100}
    kube.apply(manifest("pets", namespace=namespace, spec={"tracing": tracing}))
    wait_until_ready(kube, "pets", namespace=namespace)
    endpoint = wait_for_endpoint(kube, "pets", namespace=namespace)
    wait_for_response(endpoint, photograph)
    with endpoint.client() as client:
        assert [classify(client, photograph).status_code for _ in range(20)] == [httpx.codes.OK] * 20


def test_headers_come_from_a_secret_once_it_exists(kube: Kube, namespace: str) -> None:
    tracing = {"otlpEndpoint": trace_receiver.endpoint(namespace), "headersSecretRef": {"name": "receiver"}}
    kube.apply(manifest("pets", namespace=namespace, spec={"tracing": tracing}))
    live = wait_for_reason(kube, "pets", "CreateContainerConfigError", containing="receiver", namespace=namespace)
    message = condition(live, "Ready")["message"]
    assert "spec.tracing.headersSecretRef needs that Secret" in message
    assert "the key OTEL_EXPORTER_OTLP_HEADERS" in message

    metadata = {"name": "receiver", "namespace": namespace}
    headers = {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=e2e-secret-value"}
    kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": headers})
    wait_until_ready(kube, "pets", namespace=namespace)
    (pod,) = pods(kube, "pets", namespace=namespace)
    assert "e2e-secret-value" not in kube.kubectl("logs", pod["metadata"]["name"], f"-n={namespace}")
