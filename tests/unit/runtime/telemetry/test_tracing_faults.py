"""Faults of the trace receiver do not affect requests; lost spans are counted, and logged once."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_runtime.settings.tracing import TracingSettings

from tests.unit.runtime.process import Served
from tests.unit.runtime.support import image_bytes
from tests.unit.runtime.telemetry.traces import finish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from e2e.otlp import Handler, Receiver
    from tests.unit.runtime.support import Running

CLASSIFY = "/api/v1/classify"
PNG = {"Content-Type": "image/png"}
SPANS = 7
"""The number of spans of one classified image."""


def settings_of(endpoint: str, **changes: Any) -> TracingSettings:
    return TracingSettings(
        **{"endpoint": endpoint, "delay_seconds": 0.02, "timeout_seconds": 0.5, "flush_seconds": 1.0, **changes}
    )


def value(server: Running, name: str, **labels: str) -> float:
    return (
        server.state.metrics.registry.get_sample_value(f"imageclassifier_trace_spans_{name}_total", labels) or 0.0
    )


def dropped(server: Running, reason: str) -> float:
    return value(server, "dropped", reason=reason)


async def classify(server: Running, times: int = 1) -> None:
    for _ in range(times):
        answer = await server.client.post(CLASSIFY, content=image_bytes(), headers=PNG)
        assert answer.status_code == 200
        assert answer.json()["predictions"][0]["class_name"] == "red"


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.message for record in caplog.records if record.name.startswith("imageclassifier_runtime.telemetry")
    ]


def failing(handler: Handler) -> None:
    handler.respond(500, "text/plain", b"no")


def another_page(handler: Handler) -> None:
    handler.respond(200, "text/html", b"<html>a page of something else</html>")


def garbage(handler: Handler) -> None:
    handler.respond(200, "application/x-protobuf", b"\xff" * 100)


def not_http(handler: Handler) -> None:
    handler.wfile.write(b"\x15\x03\x01 what is this" * 50 + b"\r\n\r\n")


def endless(handler: Handler) -> None:
    handler.send_response(500)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(bytes(1 << 16))
    except OSError:
        return


@pytest.mark.parametrize("fault", [failing, another_page, garbage, endless])
async def test_an_invalid_response_loses_the_spans_and_does_not_affect_requests(
    make_server: Callable[..., Running],
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
    fault: Callable[[Handler], None],
) -> None:
    receiver.fault = fault
    server = make_server(tracing=settings_of(receiver.url))
    with caplog.at_level(logging.INFO):
        await classify(server, 3)
        assert receiver.wait_batches()
        finish(server)
    assert value(server, "exported") == 0
    assert dropped(server, "undelivered") + dropped(server, "shutdown") == 3 * SPANS
    assert messages(caplog).count("Trace export failed") == 1


def test_a_receiver_that_does_not_speak_http_is_reported(
    make_state: Callable[..., Any], receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.fault = not_http
    state = make_state(tracing=settings_of(receiver.url))
    end_a_span(state)
    assert receiver.wait_batches()
    state.tracing.close()
    assert state.metrics.registry.get_sample_value("imageclassifier_trace_spans_exported_total") == 0
    assert messages(caplog) == ["Trace export failed"]


def end_a_span(state: Any) -> None:
    scope = {"method": "GET", "path": "/v2", "headers": []}
    state.tracing.begin(scope, time.perf_counter()).end(scope, 200, time.perf_counter(), "id")


async def test_https_to_a_receiver_without_tls_is_reported_once(
    make_server: Callable[..., Running], receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    server = make_server(tracing=settings_of(receiver.url.replace("http:", "https:")))
    await classify(server)
    seconds = finish(server)
    assert seconds < 5
    assert dropped(server, "undelivered") == SPANS
    assert messages(caplog).count("Trace export failed") == 1


async def test_spans_are_delivered_after_an_outage_of_the_receiver(
    make_server: Callable[..., Running], receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.fault = lambda handler: handler.respond(503, "text/plain", b"", **{"Retry-After": "1"})
    server = make_server(tracing=settings_of(receiver.url))
    with caplog.at_level(logging.INFO):
        await classify(server)
        assert receiver.wait_batches()
        receiver.fault = None
        assert len(receiver.wait(SPANS)) == SPANS
        finish(server)
    assert value(server, "exported") == SPANS
    assert dropped(server, "undelivered") == 0
    assert [line for line in messages(caplog) if line.startswith("Trace export")] == [
        "Trace export failed",
        "Trace export recovered",
    ]


async def test_a_stopped_receiver_does_not_delay_the_shutdown(
    make_server: Callable[..., Running], caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        server = make_server(tracing=settings_of(f"http://127.0.0.1:{port}/v1/traces"))
        await classify(server, 3)
        finish(server)
    assert dropped(server, "undelivered") + dropped(server, "shutdown") == 3 * SPANS
    assert messages(caplog).count("Trace export failed") == 1


@pytest.fixture
def stuck(receiver: Receiver) -> Iterator[Receiver]:
    """A receiver that never responds to a batch."""
    release = threading.Event()

    def keep_waiting(_: Handler) -> None:
        release.wait(60)

    receiver.fault = keep_waiting
    yield receiver
    release.set()


async def test_a_full_queue_drops_spans_and_is_logged_once(
    make_server: Callable[..., Running], stuck: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_of(stuck.url, max_queue_size=10, max_batch_size=5, timeout_seconds=30, flush_seconds=0.2)
    server = make_server(tracing=settings)
    await classify(server)
    assert stuck.wait_batches()
    await classify(server, 5)
    assert dropped(server, "queue-full") > 0
    assert messages(caplog).count("Dropping spans: the queue is full") == 1
    finish(server)


async def test_a_stuck_receiver_delays_the_shutdown_at_most_until_the_timeout(
    make_server: Callable[..., Running], stuck: Receiver
) -> None:
    server = make_server(tracing=settings_of(stuck.url, timeout_seconds=60, flush_seconds=0.3))
    await classify(server)
    assert stuck.wait_batches()
    assert finish(server) < 5


async def test_a_slow_response_times_out_at_the_deadline(
    make_server: Callable[..., Running], receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    def drip(handler: Handler) -> None:
        try:
            for letter in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 10_000:
                handler.wfile.write(bytes([letter]))
                time.sleep(0.05)  # well below the timeout of a single read
        except OSError:
            return

    receiver.fault = drip
    server = make_server(tracing=settings_of(receiver.url, timeout_seconds=0.3))
    await classify(server)
    assert receiver.wait_batches(2)  # a second attempt, so the first one has ended
    finish(server)
    (record, *_) = [record for record in caplog.records if record.message == "Trace export failed"]
    assert record.fields["cause"] == "no response within 0.3 s"  # type: ignore[attr-defined]


async def test_a_redirect_is_not_followed(make_server: Callable[..., Running], receiver: Receiver) -> None:
    receiver.fault = lambda handler: handler.respond(307, "text/plain", b"", Location=receiver.url)
    server = make_server(tracing=settings_of(receiver.url, headers={"api-key": "s3cret"}, delay_seconds=30))
    await classify(server)
    finish(server)
    assert len(receiver.bodies) == 1
    assert dropped(server, "undelivered") == SPANS


async def test_headers_are_sent_to_the_receiver_and_not_logged(
    make_server: Callable[..., Running], receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_of(receiver.url, headers={"api-key": "s3cret"}, gzip=True)
    with caplog.at_level(logging.INFO):
        server = make_server(tracing=settings)
        await classify(server)
        finish(server)
    assert receiver.wait(SPANS)
    assert receiver.headers[0]["api-key"] == "s3cret"
    assert receiver.headers[0]["Content-Encoding"] == "gzip"
    assert "s3cret" not in caplog.text + repr(settings)


async def test_spans_that_the_receiver_rejects_are_counted(
    make_server: Callable[..., Running], receiver: Receiver
) -> None:
    # ExportTraceServiceResponse{partial_success{rejected_spans: 2}}
    receiver.fault = lambda handler: handler.respond(200, "application/x-protobuf", b"\x0a\x02\x08\x02")
    server = make_server(tracing=settings_of(receiver.url, delay_seconds=30))
    await classify(server)
    finish(server)
    assert (value(server, "exported"), dropped(server, "refused")) == (SPANS - 2, 2)


def post(served: Served) -> int:
    connection = served.connect()
    connection.request("POST", CLASSIFY, image_bytes(), PNG)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


@pytest.fixture
def start(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Served]]:
    started: list[Served] = []

    def start(endpoint: str) -> Served:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60000")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
        started.append(Served(MODEL_DIR=model_path, DRAIN_SECONDS=0))
        return started[-1]

    yield start
    for served in started:
        served.kill()


def test_the_shutdown_delivers_the_queued_spans(receiver: Receiver, start: Callable[[str], Served]) -> None:
    served = start(receiver.url.removesuffix("/v1/traces"))
    assert post(served) == 200
    assert receiver.spans == []
    served.process.send_signal(signal.SIGTERM)
    assert served.end() == 0
    assert len(receiver.spans) == SPANS


def test_the_shutdown_does_not_wait_for_a_stuck_receiver(stuck: Receiver, start: Callable[[str], Served]) -> None:
    served = start(stuck.url.removesuffix("/v1/traces"))
    assert post(served) == 200
    served.process.send_signal(signal.SIGTERM)
    # One attempt may take a minute; what is left after the drain and the requests in flight is 5 s of 20.
    served.wait_for("Trace export failed")
    assert served.end() == 0
