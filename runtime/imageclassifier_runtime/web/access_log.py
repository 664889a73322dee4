"""Wraps every request: assigns its id, writes one log line and its metrics, and handles unexpected exceptions."""

from __future__ import annotations

import logging
import os
import re
import time
from typing import TYPE_CHECKING

from imageclassifier_runtime.auth.caller import caller_of
from imageclassifier_runtime.logs import info
from imageclassifier_runtime.request import scope_keys
from imageclassifier_runtime.request.paths import is_probe, protocol_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from imageclassifier_runtime.protocols.state import ServerState
    from imageclassifier_runtime.telemetry.tracing import RequestTrace

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_ID_BYTES = 16
_IDS_PER_BLOCK = 256
_CLIENT_CLOSED_REQUEST = 499
_LOGGED_KEYS = (("bytes_in", scope_keys.BYTES_IN), ("items", scope_keys.ITEMS), ("reason", scope_keys.REASON))
_logger = logging.getLogger("imageclassifier_runtime.access")


class ObservabilityMiddleware:
    """ASGI middleware, outermost."""

    def __init__(self, app: ASGIApp, state: ServerState) -> None:
        self._app = app
        self._metrics = state.metrics
        self._lifecycle = state.lifecycle
        self._tracing = state.tracing
        self._ids = _generate_ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request and record its outcome."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _client_request_id(scope) or next(self._ids)
        if self._tracing is not None:
            scope[scope_keys.TRACE] = self._tracing.begin(scope, started)
        status = 0

        def observed(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.setdefault("headers", [])
                headers.append((b"x-request-id", request_id.encode("ascii")))
                # While draining, close connections so that clients reconnect to another pod.
                if self._lifecycle.draining and (b"connection", b"close") not in headers:
                    headers.append((b"connection", b"close"))
            return send(message)

        try:
            await self._app(scope, receive, observed)
        except ConnectionError:
            status = status or _CLIENT_CLOSED_REQUEST
        except Exception:  # outermost handler: log the traceback, respond with 500, keep serving
            scope[scope_keys.REASON] = "internal"
            _logger.exception("Request failed", extra={"fields": {"request_id": request_id}})
            if not status:
                detail = f"Internal server error; see the server's log for request id {request_id}."
                await protocol_of(scope["path"]).errors.status_response(500, detail, None)(
                    scope, receive, observed
                )
        finally:
            self._record(scope, status or _CLIENT_CLOSED_REQUEST, started, request_id)

    def _record(self, scope: Scope, status: int, started: float, request_id: str) -> None:
        path = scope["path"]
        if is_probe(scope["method"], path):
            return
        seconds = time.perf_counter() - started
        protocol = protocol_of(path).name
        self._metrics.requests.labels(protocol, status).inc()
        self._metrics.duration.labels(protocol).observe(seconds)
        fields: dict[str, object] = {"request_id": request_id}
        caller = caller_of(scope)
        if caller is None:
            client = scope.get("client")
            fields["client"] = client[0].removeprefix("::ffff:") if client else None
        else:
            fields["client"] = caller.address
            if caller.key is not None:
                fields["key"] = caller.key
        fields["protocol"] = protocol
        fields["method"] = scope["method"]
        fields["path"] = path[:200]
        fields["status"] = status
        fields["duration_ms"] = round(1000 * seconds, 2)
        for name, key in _LOGGED_KEYS:
            if (value := scope.get(key)) is not None:
                fields[name] = value
        if self._tracing is not None:
            trace: RequestTrace = scope[scope_keys.TRACE]
            fields["trace_id"] = trace.trace_id
            trace.end(scope, status, started + seconds, request_id)
        info(_logger, "Request", fields)


def _client_request_id(scope: Scope) -> str | None:
    """Return the request id that the client sent, if it is valid."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text: str = value.decode("latin-1")
            if _REQUEST_ID.fullmatch(text):
                return text
    return None


def _generate_ids() -> Iterator[str]:
    """Generate ids; random bytes are fetched in blocks because each fetch is a system call."""
    while True:
        digits = os.urandom(_ID_BYTES * _IDS_PER_BLOCK).hex()
        for start in range(0, len(digits), 2 * _ID_BYTES):
            yield digits[start : start + 2 * _ID_BYTES]
