"""Limits that uvicorn's HTTP protocol lacks: number of connections, size of headers, and timeouts."""

from __future__ import annotations

import functools
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from imageclassifier_runtime.errors import retry_after_seconds
from imageclassifier_runtime.request import scope_keys
from imageclassifier_runtime.request.paths import is_probe
from imageclassifier_runtime.request.problems import MEDIA_TYPE, status_response
from imageclassifier_runtime.request.slow_clients import (
    HAS_ARRIVED,
    TAKE_COMPLETE_BODY,
    PacedFlow,
    close_longest_waiting,
    is_slow,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from imageclassifier_runtime.settings.commands import ServeSettings

_MAX_HEADER_BYTES = 32 * 1024
_HEADERS_TOO_LARGE = f"The headers have more than {_MAX_HEADER_BYTES} bytes."
# Applies to requests that arrive in one read; otherwise reading pauses after the second request until its turn.
_MAX_PIPELINED = 128
_TOO_MANY_PIPELINED = f"More than {_MAX_PIPELINED} requests are pipelined. Wait for their responses."
_TOO_MANY_CONNECTIONS = "Too many connections. Retry shortly."


class _BoundedProtocol(HttpToolsProtocol):
    """One connection with limits; `bounded_protocol` creates a subclass with a server's settings."""

    settings: ClassVar[ServeSettings]
    closing: ClassVar[set[HttpToolsProtocol]]
    """Connections that are closing but not closed yet."""

    on_rejected: ClassVar[Callable[[str], None]]
    flow: PacedFlow
    _idle_since = 0.0
    _header_bytes = 0
    _field_bytes = 0
    _in_headers = True
    _request_started = False
    """Whether a request has started whose headers are incomplete."""
    _over_limit = False
    _running: RequestResponseCycle | None = None
    """The request being handled; `cycle` is the one that arrived last, and may be queued behind it."""
    _timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _write_blocked_since = 0.0
    _final_response: bytes | None = None
    """The error response that closes the connection once earlier requests have been answered."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = PacedFlow(transport, self.loop)
        now = self._idle_since = self.loop.time()
        if len(self.connections) - len(self.closing) > self.settings.max_connections:
            others = [
                other for other in self.connections if isinstance(other, _BoundedProtocol) and other is not self
            ]
            self._over_limit = close_longest_waiting(others, self.settings.max_connections, now) == 0
        if len(self.connections) > 2 * self.settings.max_connections:
            self._reject(503, _TOO_MANY_CONNECTIONS, "connections")
        else:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_write_timer()
        self.closing.discard(self)
        super().connection_lost(exc)
        for cycle in (*(waiting for waiting, _ in self.pipeline), self._running):
            if cycle is not None:
                self._abort_request(cycle)
        self.pipeline.clear()
        self._running = None

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._final_response is not None:
            self.flow.pause_reading()
            return
        if self._in_headers:
            self._header_bytes += len(data)
        super().data_received(data)
        if (self._request_started or self._header_bytes) and self._in_headers and self._final_response is None:
            if self._header_bytes > _MAX_HEADER_BYTES:
                self._reject(431, _HEADERS_TOO_LARGE, "headers")
            elif self._timer is None and self._running is None:
                self._start_timer()

    def on_message_begin(self) -> None:
        self._field_bytes = 0
        self._request_started = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers after a chunked body arrive here too.
        self._field_bytes += len(name) + len(value)
        if self._field_bytes > _MAX_HEADER_BYTES:
            self._reject(431, _HEADERS_TOO_LARGE, "headers")
            raise ValueError(_HEADERS_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        # Probes are still answered, because a failing probe would restart the pod.
        if self._over_limit and not is_probe(*self._method_and_path()):
            self._reject(503, _TOO_MANY_CONNECTIONS, "connections")
            raise ValueError(_TOO_MANY_CONNECTIONS)
        if len(self.pipeline) >= _MAX_PIPELINED:
            self._reject(503, _TOO_MANY_PIPELINED, "pipelined")
            raise ValueError(_TOO_MANY_PIPELINED)
        self._in_headers, self._request_started, self._header_bytes = False, False, 0
        self._stop_timer()
        super().on_headers_complete()
        scope = cast("dict[str, Any]", self.scope)
        scope[HAS_ARRIVED] = functools.partial(self._has_arrived, self.cycle)
        scope[TAKE_COMPLETE_BODY] = functools.partial(self._take_complete_body, self.cycle)
        if self._running is None:
            self._running = self.cycle
        # Reading pauses until the application asks for the body: a queued request has no body in memory.
        self.flow.pause_reading()

    def on_body(self, body: bytes) -> None:
        self.flow.received += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_headers = True
        self._stop_timer()
        super().on_message_complete()
        if not self.pipeline:
            self.flow.resume_reading()  # otherwise a disconnect would go unnoticed

    def on_response_complete(self) -> None:
        if self._running is not None:
            _detach(self._running)
        self._running = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
        self._idle_since = self.loop.time()
        # The rest of the request is discarded, unsent responses are kept: both with a timeout.
        if self.transport.is_closing():
            self._start_close_timer()
        elif self._final_response is not None:
            if self._running is None:
                self._send_and_close(self._final_response)
        elif self.cycle.response_complete:
            if self._request_started or self._header_bytes or not self._in_headers:
                self._start_timer()
        elif self.pipeline or not self._in_headers:
            # The next request is being handled: pause reading until its body is needed.
            self.flow.pause_reading()

    def _start_close_timer(self) -> None:
        """Give the client of a closing connection some time to receive the rest of its responses."""
        if self.transport.get_write_buffer_size():
            self._start_timer()

    def _abort_request(self, cycle: RequestResponseCycle) -> None:
        """Cancel the work for a client that has disconnected, to free its resources."""
        scope = _detach(cycle)
        cycle.disconnected = True
        cycle.message_event.set()
        cycle.on_response = _no_op
        scope[scope_keys.DISCONNECTED] = True
        if (task := scope.get(scope_keys.TASK)) is not None:
            task.cancel()

    def timeout_keep_alive_handler(self) -> None:
        self._close_connection()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_blocked_since = self.loop.time()
        self._stop_write_timer()
        self._write_timer = self.loop.call_later(self.settings.body_timeout_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_write_timer()
        super().resume_writing()

    def waiting_since(self, now: float) -> float | None:
        if self.transport.is_closing():
            return None
        if self.flow.write_paused:
            return self._write_blocked_since
        if self.cycle is None or self.cycle.response_complete:
            return self._idle_since
        since = self.flow.waiting_for_client_since if self.cycle.more_body else None
        slow = since is not None and is_slow(self.flow.received, now - since)
        return since if slow else None

    def drop(self) -> None:
        self.closing.add(self)
        self._close_connection()

    def _close_connection(self) -> None:
        # close() waits until the client has received the rest of its response, which may never happen.
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def _has_arrived(self, cycle: RequestResponseCycle, amount: int) -> bool:
        """Return whether `amount` bytes of the body, or all of it, have arrived."""
        if cycle.waiting_for_100_continue:
            cycle.waiting_for_100_continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if cycle.disconnected or not cycle.more_body or len(cycle.body) + self.flow.unread_bytes() >= amount:
            self.flow.waiting_for_client_since = None
            return True
        if self.flow.is_closed_by_client():
            self.transport.abort()  # ends the wait
        self.flow.start_waiting()
        return False

    def _take_complete_body(self, cycle: RequestResponseCycle) -> bytearray | None:
        """Return the body once, without a copy, if it has arrived completely; None otherwise."""
        if cycle.more_body or cycle.disconnected or cycle.response_complete:
            return None
        cycle.message_event.clear()
        body, cycle.body = cycle.body, bytearray()
        return body

    def send_400_response(self, msg: str) -> None:
        self._reject(400, msg, "malformed")

    def _method_and_path(self) -> tuple[str, str]:
        path = self.url.partition(b"?")[0].decode("ascii", "replace")
        return self.parser.get_method().decode("ascii"), path

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.settings.header_timeout_seconds, self._close_connection)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _reject(self, status: int, detail: str, reason: str) -> None:
        if self.transport.is_closing() or self._final_response is not None:
            return
        type(self).on_rejected(reason)
        headers = f"retry-after: {retry_after_seconds()}\r\n" if status == 503 else ""
        body = bytes(status_response(status, detail).body)
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n{headers}"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        response = head.encode("ascii") + body
        if self._has_earlier_requests():
            self._final_response = response
            self._stop_timer()
        else:
            self._send_and_close(response)

    def _has_earlier_requests(self) -> bool:
        """Return whether complete requests must be answered first (RFC 9112, 9.3.2); drop an incomplete one."""
        if self.pipeline and self.cycle.more_body:
            _detach(self.pipeline.popleft()[0])
            self.cycle = self.pipeline[0][0] if self.pipeline else cast("RequestResponseCycle", self._running)
        return self._running is not None and not self._running.more_body

    def _send_and_close(self, response: bytes) -> None:
        self._unset_keepalive_if_required()
        self.transport.write(response)
        self.transport.close()
        self._start_close_timer()


def abort_blocked_writes(connections: Iterable[object]) -> None:
    """Abort connections whose clients do not receive their responses: writes to them would block the shutdown."""
    for connection in connections:
        if isinstance(connection, _BoundedProtocol) and connection.flow.write_paused:
            connection.transport.abort()


def _detach(cycle: RequestResponseCycle) -> dict[str, Any]:
    """Remove a request's references to its connection, which would form a cycle. Returns the request's scope."""
    scope = cast("dict[str, Any]", cycle.scope)
    scope.pop(HAS_ARRIVED, None)
    scope.pop(TAKE_COMPLETE_BODY, None)
    cycle.body = bytearray()
    return scope


def _no_op() -> None:
    """Replace the callback of a connection that is gone."""


def bounded_protocol(settings: ServeSettings, on_rejected: Callable[[str], None]) -> type[HttpToolsProtocol]:
    """Return the protocol class for these settings; `on_rejected` is called with the reason of each rejection."""
    attributes = {"settings": settings, "closing": set(), "on_rejected": on_rejected}
    return type("BoundedProtocol", (_BoundedProtocol,), attributes)
