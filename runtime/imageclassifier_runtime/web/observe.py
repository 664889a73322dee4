"""Around every request: its id, one log line, its metrics, and the last net for faults of our own."""

from __future__ import annotations

import logging
import os
import re
import time
from typing import TYPE_CHECKING

from imageclassifier_runtime.logs import log
from imageclassifier_runtime.web import notes
from imageclassifier_runtime.web.answers import failure
from imageclassifier_runtime.web.caller import caller_of
from imageclassifier_runtime.web.paths import is_probe, protocol_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from imageclassifier_runtime.tracing.tracer import RequestTrace
    from imageclassifier_runtime.web.state import ServerState

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_CLIENT_GONE = 499
_NOTED = (("bytes_in", notes.BYTES_IN), ("items", notes.ITEMS), ("reason", notes.REASON))
_logger = logging.getLogger("imageclassifier_runtime.access")


class Observe:
    """ASGI middleware, outermost."""

    def __init__(self, app: ASGIApp, state: ServerState) -> None:
        self._app = app
        self._metrics = state.metrics
        self._lifecycle = state.lifecycle
        self._tracing = state.tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request through, and see how it ends."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        if self._tracing is not None:
            scope[notes.TRACE] = self._tracing.begin(scope, started)
        status = 0

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.setdefault("headers", [])
                headers.append((b"x-request-id", request_id.encode("ascii")))
                # During the drain every answer sends its client to another pod.
                if self._lifecycle.draining and (b"connection", b"close") not in headers:
                    headers.append((b"connection", b"close"))
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except ConnectionError:
            status = status or _CLIENT_GONE
        except Exception:  # the edge of the process: logged with its trace, answered, and survived
            scope[notes.REASON] = "internal"
            _logger.exception("Request failed", extra={"fields": {"request_id": request_id}})
            if not status:
                detail = f"A fault of the server; its log names the request {request_id}."
                await failure(scope["path"], 500, detail)(scope, receive, observed)
        finally:
            self._record(scope, status or _CLIENT_GONE, started, request_id)

    def _record(self, scope: Scope, status: int, started: float, request_id: str) -> None:
        path = scope["path"]
        if is_probe(scope["method"], path):
            return
        seconds = time.perf_counter() - started
        protocol = protocol_of(path)
        self._metrics.requests.inc(protocol, status)
        self._metrics.duration.observe(protocol, seconds)
        client, caller = scope.get("client"), caller_of(scope)
        who: dict[str, object] = {"client": client[0].removeprefix("::ffff:") if client else None}
        if caller is not None:
            who = {"client": caller.address, **({"key": caller.key} if caller.key is not None else {})}
        fields: dict[str, object] = {
            "request_id": request_id,
            **who,
            "protocol": protocol,
            "method": scope["method"],
            "path": path[:200],
            "status": status,
            "duration_ms": round(1000 * seconds, 2),
        }
        for name, key in _NOTED:
            if (value := scope.get(key)) is not None:
                fields[name] = value
        if self._tracing is not None:
            trace: RequestTrace = scope[notes.TRACE]
            fields["trace_id"] = trace.trace_id
            trace.end(scope, status, started + seconds, request_id)
        log(_logger, "Request", **fields)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text: str = value.decode("latin-1")
            if _REQUEST_ID.fullmatch(text):
                return text
    return os.urandom(16).hex()
