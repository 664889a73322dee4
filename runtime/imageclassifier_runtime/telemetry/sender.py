"""Posts a batch of spans to an OTLP/HTTP receiver, with a deadline and a response limit, and without redirects.

DESIGN.md explains why OpenTelemetry's own exporter is not used. Source: OTLP specification, "OTLP/HTTP".
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import socket
import ssl
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from imageclassifier_runtime import __version__
from imageclassifier_runtime.errors import SettingsError, error_text
from imageclassifier_runtime.outbound.certificates import client_context
from imageclassifier_runtime.outbound.route import Route
from imageclassifier_runtime.outbound.tunnel import ProxyRefusedError
from imageclassifier_runtime.system.deadline import cut_at

if TYPE_CHECKING:
    from imageclassifier_runtime.settings.tracing import TracingSettings

_PROTOBUF = "application/x-protobuf"
_JSON = "application/json"
_RETRYABLE_STATUSES = frozenset({429, 502, 503, 504})
_MAX_RESPONSE_BYTES = 64 * 1024
_MAX_CAUSE_LENGTH = 200


class DeliveryError(Exception):
    """A batch was not delivered.

    `retryable` is whether another attempt may succeed; `retry_after` is the receiver's Retry-After in seconds.
    """

    def __init__(self, message: str, *, retryable: bool, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after


class Sender:
    """A receiver; each batch uses a new connection, because batches are seconds apart."""

    def __init__(self, settings: TracingSettings) -> None:
        """Raise SettingsError if a certificate or key cannot be used."""
        parts = urlsplit(settings.endpoint)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        self._route = Route.to(parts.scheme, parts.hostname or "", port, settings.proxies)
        self._path = parts.path or "/"
        self._gzip = settings.gzip
        self._context = _context(settings) if secure else None
        self._proxy_context = client_context(settings.ca_dir) if self._route.secure_proxy else None
        self._headers = {
            **settings.headers,
            "Content-Type": _PROTOBUF,
            "User-Agent": f"OTel-OTLP-Exporter-Python/{__version__} imageclassifier",
            "Connection": "close",
            **self._route.headers,
        }
        if self._gzip:
            self._headers["Content-Encoding"] = "gzip"

    def send(self, body: bytes, *, seconds: float) -> int:
        """Post a batch and return the number of spans that the receiver rejected; raises DeliveryError."""
        if self._gzip:
            body = gzip.compress(body, 6)
        deadline = time.monotonic() + seconds
        try:
            raw = socket.create_connection(self._route.address, timeout=seconds)
            with contextlib.closing(raw), cut_at(raw, deadline):
                return self._exchange(raw, body)
        except ProxyRefusedError as error:
            raise DeliveryError(self._cause(str(error)), retryable=error.retryable) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            timed_out = isinstance(error, TimeoutError) or time.monotonic() >= deadline
            cause = f"no response within {seconds:.3g} s" if timed_out else error_text(error)
            raise DeliveryError(self._cause(cause), retryable=True) from error

    def _cause(self, text: str) -> str:
        """Return the cause of a failure, which names the proxy if there is one."""
        proxy = f"{self._route}: ".lstrip() if self._route.proxy else ""
        return (proxy + text)[:_MAX_CAUSE_LENGTH]

    def _exchange(self, raw: socket.socket, body: bytes) -> int:
        connection = self._route.connection(raw, self._context, proxy_context=self._proxy_context)
        try:
            connection.request("POST", self._route.request_target(self._path), body=body, headers=self._headers)
            response = connection.getresponse()
            self._route.check_response(response)
            content = response.read(_MAX_RESPONSE_BYTES)
            return _rejected_spans(response, content)
        finally:
            connection.close()


def _rejected_spans(response: http.client.HTTPResponse, content: bytes) -> int:
    """Return the number of spans that a response rejects; raises DeliveryError if it is not an OTLP success."""
    status = response.status
    if not 200 <= status < 300:
        reason = f"{status} {response.reason}".strip()[:_MAX_CAUSE_LENGTH]
        raise DeliveryError(
            f"the receiver responded {reason}",
            retryable=status in _RETRYABLE_STATUSES,
            retry_after=_retry_after(response),
        )
    kind = response.headers.get("Content-Type", _PROTOBUF).partition(";")[0].strip().lower()
    if not content or kind == _JSON:
        return 0
    if kind == _PROTOBUF:
        with contextlib.suppress(DecodeError):
            return int(ExportTraceServiceResponse.FromString(content).partial_success.rejected_spans)
    raise DeliveryError(f"not an OTLP response: {status} with {kind[:80]}", retryable=False)


def _retry_after(response: http.client.HTTPResponse) -> float | None:
    text = response.headers.get("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def _context(settings: TracingSettings) -> ssl.SSLContext:
    try:
        context = client_context(settings.ca_dir, only=settings.certificate)
        if settings.client_certificate is not None:
            context.load_cert_chain(settings.client_certificate, settings.client_key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"the certificates of OTEL_EXPORTER_OTLP_… cannot be used: {error_text(error)}"
        ) from error
    return context
