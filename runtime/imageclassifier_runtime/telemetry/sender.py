"""Posts one batch of spans to an OTLP/HTTP receiver: within a deadline, reading little, following no redirect.

DESIGN.md says why it is not the exporter of OpenTelemetry's own packages. Source: OTLP specification, "OTLP/HTTP".
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
from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.system.deadline import cut_at

if TYPE_CHECKING:
    from imageclassifier_runtime.settings.tracing import TracingSettings

_PROTOBUF = "application/x-protobuf"
_JSON = "application/json"
_RETRIED = frozenset({429, 502, 503, 504})
_MOST_READ = 64 * 1024
_LONGEST_WORD = 200


class DeliveryError(Exception):
    """A batch that was not taken.

    `retried` says whether another attempt may help; `retry_after` is how long the receiver asks for, in seconds.
    """

    def __init__(self, message: str, *, retried: bool, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retried = retried
        self.retry_after = retry_after


class Sender:
    """A receiver; each batch has a connection of its own, since seconds lie between them."""

    def __init__(self, settings: TracingSettings) -> None:
        """Raise SettingsError where a certificate or key cannot be used."""
        parts = urlsplit(settings.endpoint)
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._secure else 80)
        self._path = parts.path or "/"
        self._gzip = settings.gzip
        self._context = _context(settings) if self._secure else None
        self._headers = {
            **settings.headers,
            "Content-Type": _PROTOBUF,
            "User-Agent": f"OTel-OTLP-Exporter-Python/{__version__} imageclassifier",
            "Connection": "close",
        }
        if self._gzip:
            self._headers["Content-Encoding"] = "gzip"

    def send(self, body: bytes, *, seconds: float) -> int:
        """Deliver a batch; returns how many of its spans the receiver refused. Raises DeliveryError."""
        if self._gzip:
            body = gzip.compress(body, 6)
        deadline = time.monotonic() + seconds
        try:
            raw = socket.create_connection((self._host, self._port), timeout=seconds)
            with contextlib.closing(raw), cut_at(raw, deadline):
                return self._exchange(raw, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            late = isinstance(error, TimeoutError) or time.monotonic() >= deadline
            cause = f"no answer within {seconds:.3g} s" if late else str(error) or type(error).__name__
            raise DeliveryError(cause[:_LONGEST_WORD], retried=True) from error

    def _exchange(self, raw: socket.socket, body: bytes) -> int:
        connection = http.client.HTTPConnection(self._host, self._port)
        connection.sock = (
            raw if self._context is None else self._context.wrap_socket(raw, server_hostname=self._host)
        )
        try:
            connection.request("POST", self._path, body=body, headers=self._headers)
            response = connection.getresponse()
            content = response.read(_MOST_READ)
            return _refused(response, content)
        finally:
            connection.close()


def _refused(response: http.client.HTTPResponse, content: bytes) -> int:
    """Return how many spans the answer refuses; raises DeliveryError for all that is no receiver's yes."""
    status = response.status
    if not 200 <= status < 300:
        reason = f"{status} {response.reason}".strip()[:_LONGEST_WORD]
        raise DeliveryError(
            f"the receiver answers {reason}", retried=status in _RETRIED, retry_after=_retry_after(response)
        )
    kind = response.headers.get("Content-Type", _PROTOBUF).partition(";")[0].strip().lower()
    if not content or kind == _JSON:
        return 0
    if kind == _PROTOBUF:
        with contextlib.suppress(DecodeError):
            return int(ExportTraceServiceResponse.FromString(content).partial_success.rejected_spans)
    raise DeliveryError(f"the answer is none of OTLP's, but {status} with {kind[:80]}", retried=False)


def _retry_after(response: http.client.HTTPResponse) -> float | None:
    text = response.headers.get("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def _context(settings: TracingSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.certificate)
        if settings.client_certificate is not None:
            context.load_cert_chain(settings.client_certificate, settings.client_key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"the certificates of OTEL_EXPORTER_OTLP_… cannot be used: {error}") from error
    return context
