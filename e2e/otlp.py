"""An OTLP/HTTP receiver that stores spans: for tests, and as a program (`GET /spans`) for scenarios in a cluster.

It needs only Python and `opentelemetry-proto`, and imports none of our packages: its source runs in a pod.
"""

from __future__ import annotations

import dataclasses
import gzip
import http.server
import json
import sys
import threading
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

PROTOBUF = "application/x-protobuf"


@dataclasses.dataclass(frozen=True)
class Span:
    """One received span; ids in hexadecimal (no parent: ""), times in nanoseconds since 1970."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    trace_state: str
    kind: int
    start: int
    end: int
    status: int
    attributes: dict[str, Any]
    resource: dict[str, Any]


class Receiver(http.server.ThreadingHTTPServer):
    """Listens as soon as it is created, and responds while `serve_forever` runs.

    If `fault` is set, it sends the response: it is called with the handler, after the body was read.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        super().__init__(address, Handler)
        self.spans: list[Span] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.fault: Callable[[Handler], None] | None = None
        self.changed = threading.Condition()

    @property
    def url(self) -> str:
        """The URL to post batches to."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1/traces"

    def store(self, headers: dict[str, str], body: bytes) -> None:
        """Store a batch."""
        with self.changed:
            self.headers.append(headers)
            self.bodies.append(body)
            if self.fault is None:
                self.spans += decode(body)
            self.changed.notify_all()

    def wait(self, count: int, seconds: float = 20) -> list[Span]:
        """Wait until that many spans were received, or until the timeout; return all received spans."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.spans) >= count, seconds)
            return list(self.spans)

    def wait_batches(self, count: int = 1, seconds: float = 20) -> bool:
        """Wait for that many batches, accepted or not; return whether they arrived before the timeout."""
        with self.changed:
            return self.changed.wait_for(lambda: len(self.bodies) >= count, seconds)


class Handler(http.server.BaseHTTPRequestHandler):
    """Handles one request."""

    server: Receiver

    def do_POST(self) -> None:
        """Receive a batch."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path != "/v1/traces" or self.headers["Content-Type"] != PROTOBUF:
            self.respond(404, "text/plain", b"not found")
            return
        self.server.store(dict(self.headers), body)
        if self.server.fault is not None:
            self.server.fault(self)
            return
        self.respond(200, PROTOBUF, ExportTraceServiceResponse().SerializeToString())

    def do_GET(self) -> None:
        """Return the received spans."""
        spans = [dataclasses.asdict(span) for span in self.server.wait(0)]
        self.respond(200, "application/json", json.dumps(spans).encode())

    def respond(self, status: int, content_type: str, body: bytes, **headers: str) -> None:
        """Send a complete response."""
        self.send_response(status)
        standard = {"Content-Type": content_type, "Content-Length": str(len(body))}
        for name, value in {**standard, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def decode(body: bytes) -> list[Span]:
    """Return the spans of one export."""
    return [
        Span(
            name=span.name,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            trace_state=span.trace_state,
            kind=span.kind,
            start=span.start_time_unix_nano,
            end=span.end_time_unix_nano,
            status=span.status.code,
            attributes=_values(span.attributes),
            resource=_values(of_resource.resource.attributes),
        )
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]


def _values(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}


if __name__ == "__main__":
    Receiver(("", int(sys.argv[1]))).serve_forever()
