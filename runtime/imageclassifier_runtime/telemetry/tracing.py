"""The spans of a request: one for the server, and one for each stage, from times that were measured anyway.

Names and attributes: OpenTelemetry semantic conventions, "HTTP spans" (server), the stable ones. What they have no
name for begins with `imageclassifier.`. No query, no header but the user agent.
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

# Seconds between two stages that are worth a span.
_A_WAIT = 2e-6
MAX_ITEMS_TRACED = 8
"""Of one request's images or tensors, those that get spans of their own; all of them are counted."""

_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
_LONGEST_TEXT = 200
_SERVICE = "imageclassifier"
_OWN = "imageclassifier."
_logger = logging.getLogger(__name__)
_propagator = TraceContextTextMapPropagator()
# Every one is given, since the SDK would look for the others in the environment.
_LIMITS = SpanLimits(
    max_attributes=32,
    max_events=1,
    max_links=1,
    max_event_attributes=1,
    max_link_attributes=1,
    max_attribute_length=_LONGEST_TEXT,
)


class _Headers(Getter["Sequence[tuple[bytes, bytes]]"]):
    """Reads the headers of an ASGI scope."""

    def get(self, carrier: Sequence[tuple[bytes, bytes]], key: str) -> list[str] | None:
        """Return the header's values as one, so that a `traceparent` that comes twice is malformed (W3C, 3.2)."""
        name = key.encode("ascii")
        found = [value.decode("latin-1") for header, value in carrier if header == name]
        return [",".join(found)] if found else None

    def keys(self, carrier: Sequence[tuple[bytes, bytes]]) -> list[str]:
        """Return the names of all headers."""
        return [header.decode("latin-1") for header, _ in carrier]


_HEADERS = _Headers()


class Tracing:
    """Makes the spans of a server and sends them off."""

    def __init__(self, settings: TracingSettings, *, model: ModelInfo, registry: CollectorRegistry) -> None:
        """Raise SettingsError where the settings' files cannot be used."""
        # It warns of what a client's `tracestate` holds: a way to fill the log.
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
        log(_logger, "Tracing", endpoint=settings.endpoint, ratio=settings.ratio)

    def begin(self, scope: MutableMapping[str, Any], started: float) -> RequestTrace | None:
        """Return the trace of a request that began at `started` (`time.perf_counter()`), None for a probe."""
        if is_probe(scope["method"], scope["path"]):
            return None
        offset = time.time_ns() - time.perf_counter_ns()
        parent = _propagator.extract(scope["headers"], Context(), _HEADERS)
        return RequestTrace(self._tracer, scope, parent, offset, started)

    def close(self) -> None:
        """Deliver what is queued, within a bound; nothing is traced after it."""
        self._exporter.close()


class RequestTrace:
    """One request's spans; moments are `time.perf_counter()` seconds, made into dates by one common offset."""

    __slots__ = ("_context", "_offset", "_recording", "_span", "_tracer", "trace_id")

    def __init__(
        self, tracer: Tracer, scope: MutableMapping[str, Any], parent: Context, offset: int, started: float
    ) -> None:
        self._tracer = tracer
        self._offset = offset
        self._span = tracer.start_span(
            _method(scope), context=parent, kind=SpanKind.SERVER, start_time=self._date(started)
        )
        self._recording = self._span.is_recording()
        self._context = set_span_in_context(self._span, Context()) if self._recording else None
        self.trace_id = format_trace_id(self._span.get_span_context().trace_id)

    def stage(self, name: str, began: float, ended: float) -> None:
        """Add the span of a stage of the whole request."""
        if self._recording:
            self._child(name, began, self._context).end(self._date(ended))

    def answered(self, outcome: Outcome, asked: float, number: int | None) -> None:
        """Add the spans of an image or tensor that was `asked` for then; `number` is its place in a batch."""
        if not self._recording or (number or 0) >= MAX_ITEMS_TRACED:
            return
        context, item = self._context, None
        if number is not None:
            item = self._child("item", asked, context, {f"{_OWN}item": number})
            context = set_span_in_context(item, Context())
        # What lies between the stages was waiting: for a worker, or for the others of a batch.
        since = asked
        for name, began in outcome.began.items():
            if began - since > _A_WAIT:
                self._child("queue", since, context).end(self._date(began))
            since = began + outcome.seconds[name]
            self._child(name, began, context).end(self._date(since))
        if item is not None:
            item.end(self._date(since))

    def failed(self, error: RequestError, asked: float, number: int | None) -> None:
        """Add the span of an image or tensor that was refused."""
        if not self._recording or (number or 0) >= MAX_ITEMS_TRACED:
            return
        item = self._child("item", asked, self._context, {f"{_OWN}reason": error.reason})
        if number is not None:
            item.set_attribute(f"{_OWN}item", number)
        if error.status >= 500:
            item.set_attribute("error.type", error.reason)
            item.set_status(StatusCode.ERROR)
        item.end(self._date(time.perf_counter()))

    def end(self, scope: Mapping[str, Any], status: int, ended: float, request_id: str) -> None:
        """End the server's span; what is known by now about the request becomes its attributes."""
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
        span.end(self._date(ended))

    def _child(
        self, name: str, began: float, context: Context | None, attributes: Mapping[str, str | int] | None = None
    ) -> Span:
        return self._tracer.start_span(name, context=context, attributes=attributes, start_time=self._date(began))

    def _date(self, moment: float) -> int:
        """Return nanoseconds since 1970."""
        return self._offset + int(moment * 1e9)


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
        f"{_OWN}protocol": protocol_of(scope["path"]).name,
        f"{_OWN}request_id": request_id,
        f"{_OWN}request_bytes": scope.get(scope_keys.BYTES_IN),
        f"{_OWN}items": scope.get(scope_keys.ITEMS),
        f"{_OWN}reason": scope.get(scope_keys.REASON),
    }
    return {name: value for name, value in known.items() if value is not None}


def _sampler(settings: TracingSettings) -> Sampler:
    """Return the sampler; a ratio of 1 takes every trace, one of 0 none."""
    ratio = TraceIdRatioBased(settings.ratio)
    return ParentBased(ratio) if settings.parent_based else ratio


def _resource(settings: TracingSettings, model: ModelInfo) -> dict[str, str]:
    """Return what every span says about this server; what the environment says comes first."""
    return {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": sdk_version,
        "service.name": _SERVICE,
        "service.version": __version__,
        "service.instance.id": str(uuid.uuid4()),
        f"{_OWN}model.name": model.name,
        f"{_OWN}model.sha256": model.sha256,
        f"{_OWN}model.precision": model.precision,
        **settings.resource,
    }
