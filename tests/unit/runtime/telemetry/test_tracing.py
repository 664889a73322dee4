"""Traces of the server, decoded by a real OTLP receiver: ids, names, times and statuses."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.settings.cache import CacheSettings
from imageclassifier_runtime.settings.tracing import TracingSettings

from tests.unit.runtime.support import image_bytes
from tests.unit.runtime.telemetry.traces import PARENT_ID, SAMPLED, TRACE_ID, finish

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.otlp import Receiver, Span
    from tests.unit.runtime.support import Running

CLASSIFY = "/api/v1/classify"
PNG = {"content-type": "image/png"}
SERVER = 2
ERROR = 2


def server_span(spans: list[Span]) -> Span:
    (found,) = (span for span in spans if span.kind == SERVER)
    return found


async def test_a_request_is_a_server_span_with_its_stages_inside(
    traced: Callable[..., Running], receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    server = traced()
    headers = {
        **PNG,
        "traceparent": SAMPLED,
        "tracestate": "vendor=1,other=2",
        "user-agent": "curl/8",
        "x-key": "k3y",
    }
    with caplog.at_level(logging.INFO):
        answer = await server.client.post(CLASSIFY + "?top_k=2", content=image_bytes(), headers=headers)
    assert answer.status_code == 200
    finish(server)
    spans = receiver.wait(6)
    top = server_span(spans)
    stages = sorted((span for span in spans if span is not top), key=lambda span: span.start)

    assert top.name == f"POST {CLASSIFY}"
    assert {span.trace_id for span in spans} == {TRACE_ID}
    assert top.parent_id == PARENT_ID
    assert top.trace_state == "vendor=1,other=2"
    assert top.status == 0
    expected = {
        "http.request.method": "POST",
        "http.route": CLASSIFY,
        "http.response.status_code": 200,
        "url.path": CLASSIFY,
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "user_agent.original": "curl/8",
        "imageclassifier.protocol": "native",
        "imageclassifier.request_id": answer.headers["x-request-id"],
        "imageclassifier.request_bytes": len(image_bytes()),
    }
    assert top.attributes == expected
    assert [span.name for span in stages] == [
        "receive",
        "queue",
        "decode",
        "preprocess",
        "inference",
        "postprocess",
    ]
    assert {span.parent_id for span in stages} == {top.span_id}
    for before, after in itertools.pairwise(stages):
        assert top.start <= before.start <= before.end <= after.start <= after.end <= top.end
    timings = answer.json()["timings_ms"]
    for span in stages[2:]:
        assert (span.end - span.start) / 1e6 == pytest.approx(timings[span.name], abs=0.01)
    assert b"top_k" not in b"".join(receiver.bodies)
    assert b"k3y" not in b"".join(receiver.bodies)
    (line,) = [record.fields for record in caplog.records if record.message == "Request"]  # type: ignore[attr-defined]
    assert line["trace_id"] == TRACE_ID


async def test_a_hit_has_a_span_for_the_cache_and_none_for_inference(
    make_server: Callable[..., Running], receiver: Receiver
) -> None:
    tracing = TracingSettings(endpoint=receiver.url, delay_seconds=0.02)
    server = make_server(tracing=tracing, cache=CacheSettings(max_bytes=1 << 20))
    for _ in range(2):
        assert (await server.client.post(CLASSIFY, content=image_bytes(), headers=PNG)).status_code == 200
    finish(server)
    by_trace: dict[str, list[Span]] = {}
    for span in receiver.wait(11):
        by_trace.setdefault(span.trace_id, []).append(span)
    first, second = sorted(by_trace.values(), key=lambda spans: min(span.start for span in spans))
    assert {"cache", "decode", "inference"} < {span.name for span in first}
    names = {span.name for span in second}
    assert {"cache", "postprocess"} < names
    assert not names & {"decode", "preprocess", "inference"}
    for spans in (first, second):
        top = server_span(spans)
        assert all(top.start <= span.start <= span.end <= top.end for span in spans)


async def test_the_resource_identifies_the_server_and_its_model(
    traced: Callable[..., Running], receiver: Receiver
) -> None:
    server = traced(resource={"service.name": "pets", "k8s.pod.name": "pets-1"})
    await server.client.get("/v2")
    finish(server)
    resource = server_span(receiver.wait(1)).resource
    info = server.state.classifier.model.info
    assert resource["service.name"] == "pets"
    assert resource["k8s.pod.name"] == "pets-1"
    assert resource["service.instance.id"]
    assert resource["imageclassifier.model.sha256"] == info.sha256
    assert resource["imageclassifier.model.precision"] == "FP32"


async def test_a_span_is_named_by_its_route(traced: Callable[..., Running], receiver: Receiver) -> None:
    server = traced()
    assert (await server.client.get("/v2/models/another")).status_code == 404
    assert (await server.client.get("/nowhere/at/all")).status_code == 404
    assert (await server.client.request("BREW", "/v2")).status_code == 405
    finish(server)
    model, nowhere, odd = sorted(receiver.wait(3), key=lambda span: span.start)
    assert (model.name, model.attributes["http.route"]) == ("GET /v2/models/{name}", "/v2/models/{name}")
    assert (nowhere.name, nowhere.attributes.get("http.route")) == ("GET", None)
    assert (odd.attributes["http.request.method"], odd.attributes["http.request.method_original"]) == (
        "_OTHER",
        "BREW",
    )
    assert odd.name.startswith("HTTP")


async def test_each_image_of_a_batch_has_a_span_up_to_a_limit(
    traced: Callable[..., Running], receiver: Receiver
) -> None:
    server = traced()
    files = [("file", (f"{number}.png", image_bytes(), "image/png")) for number in range(10)]
    files[1] = ("file", ("1.png", b"no image", "image/png"))
    answer = await server.client.post(f"{CLASSIFY}/batch", files=files)
    assert answer.status_code == 200
    finish(server)
    spans = receiver.wait(2 + 8 + 7 * 5)
    top = server_span(spans)
    items = {span.attributes["imageclassifier.item"]: span for span in spans if span.name == "item"}
    assert sorted(items) == list(range(8))
    assert top.attributes["imageclassifier.items"] == 10
    assert {item.parent_id for item in items.values()} == {top.span_id}
    assert items[1].attributes["imageclassifier.reason"] == "unsupported-type"
    assert items[1].status == 0
    for number, item in items.items():
        inside = [span for span in spans if span.parent_id == item.span_id]
        stages = {"queue", "decode", "preprocess", "inference", "postprocess"} if number != 1 else set()
        assert {span.name for span in inside} == stages
        assert all(item.start <= span.start <= span.end <= item.end for span in inside)


async def test_a_client_error_is_not_an_error_of_the_span(
    traced: Callable[..., Running], receiver: Receiver
) -> None:
    server = traced()
    assert (await server.client.post(CLASSIFY, content=b"no image", headers=PNG)).status_code == 415
    finish(server)
    spans = receiver.wait(3)
    top = server_span(spans)
    assert top.status == 0
    assert "error.type" not in top.attributes
    assert top.attributes["imageclassifier.reason"] == "unsupported-type"
    (item,) = (span for span in spans if span.name == "item")
    assert item.attributes["imageclassifier.reason"] == "unsupported-type"


async def test_a_server_error_is_an_error_of_the_span(
    traced: Callable[..., Running], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = traced()
    server.state.lifecycle.stopping = True
    assert (await server.client.post(CLASSIFY, content=image_bytes(), headers=PNG)).status_code == 503
    server.state.lifecycle.stopping = False

    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(server.state.classifier, "classify", broken)
    assert (await server.client.post(CLASSIFY, content=image_bytes(), headers=PNG)).status_code == 500
    finish(server)
    first, second = sorted((span for span in receiver.wait(3) if span.kind == SERVER), key=lambda span: span.start)
    assert (first.status, first.attributes["error.type"]) == (ERROR, "draining")
    assert (second.status, second.attributes["error.type"]) == (ERROR, "internal")


async def test_probes_have_no_spans(traced: Callable[..., Running], receiver: Receiver) -> None:
    server = traced()
    for path in ("/api/v1/health/ready", "/metrics", "/v2/health/live"):
        assert (await server.client.get(path)).status_code == 200
    finish(server)
    assert receiver.spans == []
