"""Creates the spans of a request: a server span and one for each stage, from times that are measured anyway.

Names and attributes follow OpenTelemetry's stable semantic conventions, "HTTP spans" (server). Attributes that
they do not define start with `imageclassifier.`. Queries and headers are not recorded, except the user agent.
"""

from __future__ import annotations

import logging
import time
import uuid
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.sdk.version import __version__ as sdk_version
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from imageclassifier_runtime import __version__
from imageclassifier_runtime.logs import log
from imageclassifier_runtime.request import scope_keys
from imageclassifier_runtime.request.paths import is_probe, protocol_of
from imageclassifier_runtime.telemetry.export import Exporter, ExportMetrics
from imageclassifier_runtime.telemetry.sender import Sender

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence
    from typing import Any

    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import Span, Tracer
    from prometheus_client import CollectorRegistry

    from imageclassifier_runtime.errors import RequestError
    from imageclassifier_runtime.inference.pipeline import Outcome
    from imageclassifier_runtime.model.folder import ModelInfo
    from imageclassifier_runtime.settings.tracing import TracingSettings

# The minimum time in seconds between two stages for which a `queue` span is created.
_MIN_QUEUE_SECONDS = 2e-6
MAX_ITEMS_TRACED = 8
"""The number of images or tensors of one request that get their own spans."""

_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
_MAX_ATTRIBUTE_LENGTH = 200
_SERVICE = "imageclassifier"
_PREFIX = "imageclassifier."
_logger = logging.getLogger(__name__)
_propagator = TraceContextTextMapPropagator()
# All limits are set, because the SDK would read missing ones from the environment.
_LIMITS = SpanLimits(
    max_attributes=32,
    max_events=1,
    max_links=1,
    max_event_attributes=1,
    max_link_attributes=1,
    max_attribute_length=_MAX_ATTRIBUTE_LENGTH,
)


class _Headers(Getter["Sequence[tuple[bytes, bytes]]"]):
    """Reads the headers of an ASGI scope."""

    def get(self, carrier: Sequence[tuple[bytes, bytes]], key: str) -> list[str] | None:
        """Return the header's values joined, so that a repeated `traceparent` is malformed (W3C, 3.2)."""
        name = key.encode("ascii")
        found = [value.decode("latin-1") for header, value in carrier if header == name]
        return [",".join(found)] if found else None

    def keys(self, carrier: Sequence[tuple[bytes, bytes]]) -> list[str]:
        """Return the names of all headers."""
        return [header.decode("latin-1") for header, _ in carrier]


_HEADERS = _Headers()


class Tracing:
    """Creates the spans of a server and exports them."""

    def __init__(self, settings: TracingSettings, *, model: ModelInfo, registry: CollectorRegistry) -> None:
        """Raise SettingsError if a file in the settings cannot be used."""
        # It logs a warning for every invalid `tracestate`, so that clients could fill the log.
        logging.getLogger("opentelemetry.trace").setLevel(logging.ERROR)
        self._exporter = Exporter(settings, Sender(settings), ExportMetrics(registry))
        provider = TracerProvider(
            sampler=_sampler(settings),
            resource=Resource(_resource(settings, model)),
            shutdown_on_exit=False,
            span_limits=_LIMITS,
            meter_provider=NoOpMeterProvider(),
        )
        provider.add_span_processor(self._exporter)
        self._tracer = provider.get_tracer(_SERVICE, __version__)
        log(_logger, "Tracing enabled", endpoint=settings.endpoint, ratio=settings.ratio)

    def begin(self, scope: MutableMapping[str, Any], started: float) -> RequestTrace | None:
        """Return the trace of a request that started at `started` (`time.perf_counter()`), None for a probe."""
        if is_probe(scope["method"], scope["path"]):
            return None
        offset = time.time_ns() - time.perf_counter_ns()
        parent = _propagator.extract(scope["headers"], Context(), _HEADERS)
        return RequestTrace(self._tracer, scope, parent, offset, started)

    def close(self) -> None:
        """Export the queued spans within a time limit; later spans are dropped."""
        self._exporter.close()


class RequestTrace:
    """The spans of one request.

    Times are `time.perf_counter()` seconds; one offset per request converts them to timestamps.
    """

    __slots__ = ("_context", "_offset", "_recording", "_span", "_tracer", "trace_id")

    def __init__(
        self, tracer: Tracer, scope: MutableMapping[str, Any], parent: Context, offset: int, started: float
    ) -> None:
        self._tracer = tracer
        self._offset = offset
        self._span = tracer.start_span(
            _method(scope), context=parent, kind=SpanKind.SERVER, start_time=self._timestamp(started)
        )
        self._recording = self._span.is_recording()
        self._context = set_span_in_context(self._span, Context()) if self._recording else None
        self.trace_id = format_trace_id(self._span.get_span_context().trace_id)

    def add_stage(self, name: str, began: float, ended: float) -> None:
        """Add the span of a stage of the whole request."""
        if self._recording:
            self._child(name, began, self._context).end(self._timestamp(ended))

    def add_item(self, outcome: Outcome, started: float, index: int | None) -> None:
        """Add the spans of an image or tensor; `index` is its position in a batch, None for a single item."""
        if not self._recording or (index or 0) >= MAX_ITEMS_TRACED:
            return
        context, item = self._context, None
        if index is not None:
            item = self._child("item", started, context, {f"{_PREFIX}item": index})
            context = set_span_in_context(item, Context())
        # The time between two stages is waiting time: for a worker, or for the other inputs of a batch.
        previous_end = started
        for name, began in outcome.began.items():
            if began - previous_end > _MIN_QUEUE_SECONDS:
                self._child("queue", previous_end, context).end(self._timestamp(began))
            previous_end = began + outcome.seconds[name]
            self._child(name, began, context).end(self._timestamp(previous_end))
        if item is not None:
            item.end(self._timestamp(previous_end))

    def add_failed_item(self, error: RequestError, started: float, index: int | None) -> None:
        """Add the span of an image or tensor that was rejected."""
        if not self._recording or (index or 0) >= MAX_ITEMS_TRACED:
            return
        item = self._child("item", started, self._context, {f"{_PREFIX}reason": error.reason})
        if index is not None:
            item.set_attribute(f"{_PREFIX}item", index)
        if error.status >= 500:
            item.set_attribute("error.type", error.reason)
            item.set_status(StatusCode.ERROR)
        item.end(self._timestamp(time.perf_counter()))

    def end(self, scope: Mapping[str, Any], status: int, ended: float, request_id: str) -> None:
        """Set the attributes of the server span, and end it."""
        if not self._recording:
            return
        span = self._span
        route = scope.get(scope_keys.ROUTE) or getattr(scope.get("route"), "path", None)
        if route is not None:
            span.update_name(f"{_method(scope)} {route}")
        span.set_attributes(_attributes(scope, route, status, request_id))
        if status >= 500:
            span.set_attribute("error.type", scope.get(scope_keys.REASON) or str(status))
            span.set_status(StatusCode.ERROR)
        span.end(self._timestamp(ended))

    def _child(
        self, name: str, began: float, context: Context | None, attributes: Mapping[str, str | int] | None = None
    ) -> Span:
        start_time = self._timestamp(began)
        return self._tracer.start_span(name, context=context, attributes=attributes, start_time=start_time)

    def _timestamp(self, seconds: float) -> int:
        """Convert `time.perf_counter()` seconds to nanoseconds since 1970."""
        return self._offset + int(seconds * 1e9)


def _method(scope: Mapping[str, Any]) -> str:
    return scope["method"] if scope["method"] in _METHODS else "HTTP"


def _attributes(scope: Mapping[str, Any], route: str | None, status: int, request_id: str) -> dict[str, str | int]:
    method, client = scope["method"], scope.get("client")
    agent = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"user-agent"), None)
    known: dict[str, str | int | None] = {
        "http.request.method": method if method in _METHODS else "_OTHER",
        "http.request.method_original": None if method in _METHODS else method,
        "http.route": route,
        "http.response.status_code": status,
        "url.path": scope["path"],
        "url.scheme": scope.get("scheme"),
        "network.protocol.version": scope.get("http_version"),
        "client.address": client[0].removeprefix("::ffff:") if client else None,
        "user_agent.original": agent,
        f"{_PREFIX}protocol": protocol_of(scope["path"]).name,
        f"{_PREFIX}request_id": request_id,
        f"{_PREFIX}request_bytes": scope.get(scope_keys.BYTES_IN),
        f"{_PREFIX}items": scope.get(scope_keys.ITEMS),
        f"{_PREFIX}reason": scope.get(scope_keys.REASON),
    }
    return {name: value for name, value in known.items() if value is not None}


def _sampler(settings: TracingSettings) -> Sampler:
    """Return the sampler; a ratio of 1 samples every trace, 0 samples none."""
    ratio = TraceIdRatioBased(settings.ratio)
    return ParentBased(ratio) if settings.parent_based else ratio


def _resource(settings: TracingSettings, model: ModelInfo) -> dict[str, str]:
    """Return the resource attributes of every span; those from the environment take precedence."""
    return {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": sdk_version,
        "service.name": _SERVICE,
        "service.version": __version__,
        "service.instance.id": str(uuid.uuid4()),
        f"{_PREFIX}model.name": model.name,
        f"{_PREFIX}model.sha256": model.sha256,
        f"{_PREFIX}model.precision": model.precision,
        **settings.resource,
    }
