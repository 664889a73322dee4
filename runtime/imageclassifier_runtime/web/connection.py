"""Bounds that uvicorn's HTTP protocol lacks: connections, bytes of headers, and the time they may take."""

from __future__ import annotations

import functools
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from imageclassifier_runtime.errors import soon
from imageclassifier_runtime.request import scope_keys
from imageclassifier_runtime.request.paths import is_probe
from imageclassifier_runtime.request.problems import MEDIA_TYPE, of_status
from imageclassifier_runtime.request.slow_clients import HAS_COME, TAKE_WHOLE, PacedFlow, is_slow, make_room

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from imageclassifier_runtime.settings.commands import ServeSettings

_MAX_HEADER_BYTES = 32 * 1024
_TOO_LONG = f"The headers have more than {_MAX_HEADER_BYTES} bytes."
# Of what comes in one piece; where it comes in several, the second request is read no further until its turn.
_MAX_AHEAD = 128
_TOO_MANY_AHEAD = f"More than {_MAX_AHEAD} requests wait on this connection. Wait for their answers."
_CROWDED = "Too many connections. Try again shortly."


class _BoundedProtocol(HttpToolsProtocol):
    """One connection within bounds; `bounded_protocol` makes a class of it for the settings of a server."""

    bounds: ClassVar[ServeSettings]
    going: ClassVar[set[HttpToolsProtocol]]
    """Those that were told to go and are not gone yet."""

    refused: ClassVar[Callable[[str], None]]
    flow: PacedFlow
    _idle_since = 0.0
    _header_bytes = 0
    _field_bytes = 0
    _in_headers = True
    _begun = False
    """Whether a request has begun whose headers are not whole."""
    _crowded = False
    _running: RequestResponseCycle | None = None
    """Whose turn it is; `cycle` is the last one that has come, and may wait behind it."""
    _timer: asyncio.TimerHandle | None = None
    _stuck_timer: asyncio.TimerHandle | None = None
    _stuck_since = 0.0
    _parting: bytes | None = None
    """The refusal that ends the connection once those before it have their answers."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = PacedFlow(transport, self.loop)
        now = self._idle_since = self.loop.time()
        if len(self.connections) - len(self.going) > self.bounds.max_connections:
            others = [it for it in self.connections if isinstance(it, _BoundedProtocol) and it is not self]
            self._crowded = make_room(others, self.bounds.max_connections, now) == 0
        if len(self.connections) > 2 * self.bounds.max_connections:
            self._refuse(503, _CROWDED, "connections")
        else:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_stuck_timer()
        self.going.discard(self)
        super().connection_lost(exc)
        for cycle in (*(waiting for waiting, _ in self.pipeline), self._running):
            if cycle is not None:
                self._abort_request(cycle)
        self.pipeline.clear()
        self._running = None

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._parting is not None:
            self.flow.pause_reading()
            return
        if self._in_headers:
            self._header_bytes += len(data)
        super().data_received(data)
        if (self._begun or self._header_bytes) and self._in_headers and self._parting is None:
            if self._header_bytes > _MAX_HEADER_BYTES:
                self._refuse(431, _TOO_LONG, "headers")
            elif self._timer is None and self._running is None:
                self._start_timer()

    def on_message_begin(self) -> None:
        self._field_bytes = 0
        self._begun = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers after a chunked body come here too.
        self._field_bytes += len(name) + len(value)
        if self._field_bytes > _MAX_HEADER_BYTES:
            self._refuse(431, _TOO_LONG, "headers")
            raise ValueError(_TOO_LONG)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        # Probes are answered all the same, since a failing one would have the whole server restarted.
        if self._crowded and not is_probe(*self._asked()):
            self._refuse(503, _CROWDED, "connections")
            raise ValueError(_CROWDED)
        if len(self.pipeline) >= _MAX_AHEAD:
            self._refuse(503, _TOO_MANY_AHEAD, "pipelined")
            raise ValueError(_TOO_MANY_AHEAD)
        self._in_headers, self._begun, self._header_bytes = False, False, 0
        self._stop_timer()
        super().on_headers_complete()
        scope = cast("dict[str, Any]", self.scope)
        scope[HAS_COME] = functools.partial(self._has_come, self.cycle)
        scope[TAKE_WHOLE] = functools.partial(self._take_whole, self.cycle)
        if self._running is None:
            self._running = self.cycle
        # Nothing more is read until the application asks for it: a request that waits holds no body.
        self.flow.pause_reading()

    def on_body(self, body: bytes) -> None:
        self.flow.came += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_headers = True
        self._stop_timer()
        super().on_message_complete()
        if not self.pipeline:
            self.flow.resume_reading()  # else nobody would see that the client has gone

    def on_response_complete(self) -> None:
        if self._running is not None:
            _detach(self._running)
        self._running = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
        self._idle_since = self.loop.time()
        # What the client has still to send is thrown away, what it has to take is kept: neither for ever.
        if self.transport.is_closing():
            self._wait_for_taking()
        elif self._parting is not None:
            if self._running is None:
                self._send_and_close(self._parting)
        elif self.cycle.response_complete:
            if self._begun or self._header_bytes or not self._in_headers:
                self._start_timer()
        elif self.pipeline or not self._in_headers:
            # It is another one's turn now, and nothing more is read than to see its client go.
            self.flow.pause_reading()

    def _wait_for_taking(self) -> None:
        """Give the client of a connection that is closing some time for the rest of its answers."""
        if self.transport.get_write_buffer_size():
            self._start_timer()

    def _abort_request(self, cycle: RequestResponseCycle) -> None:
        """End the work for a client that has gone: what it holds is for others."""
        scope = _detach(cycle)
        cycle.disconnected = True
        cycle.message_event.set()
        cycle.on_response = _nothing
        scope[scope_keys.LEFT] = True
        if (task := scope.get(scope_keys.TASK)) is not None:
            task.cancel()

    def timeout_keep_alive_handler(self) -> None:
        self._give_up()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck_since = self.loop.time()
        self._stop_stuck_timer()
        self._stuck_timer = self.loop.call_later(self.bounds.body_timeout_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_stuck_timer()
        super().resume_writing()

    def waits_since(self, now: float) -> float | None:
        if self.transport.is_closing():
            return None
        if self.flow.write_paused:
            return self._stuck_since
        if self.cycle is None or self.cycle.response_complete:
            return self._idle_since
        wanted_at = self.flow.wanted_at if self.cycle.more_body else None
        slow = wanted_at is not None and is_slow(self.flow.came, now - wanted_at)
        return wanted_at if slow else None

    def drop(self) -> None:
        self.going.add(self)
        self._give_up()

    def _give_up(self) -> None:
        # Closing waits until the client has taken the rest of its answer, and it may never do that.
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def _has_come(self, cycle: RequestResponseCycle, amount: int) -> bool:
        """Return whether so much of the body, or all of it, is here; until then it is the client's turn."""
        if cycle.waiting_for_100_continue:
            cycle.waiting_for_100_continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if cycle.disconnected or not cycle.more_body or len(cycle.body) + self.flow.waiting() >= amount:
            self.flow.wanted_at = None
            return True
        if self.flow.has_gone():
            self.transport.abort()  # which ends the wait
        self.flow.want()
        return False

    def _take_whole(self, cycle: RequestResponseCycle) -> bytearray | None:
        """Return a body that has come to its end already, once, without a copy; None where some is to come."""
        if cycle.more_body or cycle.disconnected or cycle.response_complete:
            return None
        cycle.message_event.clear()
        body, cycle.body = cycle.body, bytearray()
        return body

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg, "malformed")

    def _asked(self) -> tuple[str, str]:
        path = self.url.partition(b"?")[0].decode("ascii", "replace")
        return self.parser.get_method().decode("ascii"), path

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.bounds.header_timeout_seconds, self._give_up)

    def _stop_stuck_timer(self) -> None:
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
            self._stuck_timer = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int, detail: str, reason: str) -> None:
        if self.transport.is_closing() or self._parting is not None:
            return
        type(self).refused(reason)
        headers = f"retry-after: {soon()}\r\n" if status == 503 else ""
        body = bytes(of_status(status, detail).body)
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n{headers}"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        answer = head.encode("ascii") + body
        if self._others_are_before():
            self._parting = answer
            self._stop_timer()
        else:
            self._send_and_close(answer)

    def _others_are_before(self) -> bool:
        """Return whether whole requests wait, whose answers come first (RFC 9112, 9.3.2); forget one in part."""
        if self.pipeline and self.cycle.more_body:
            _detach(self.pipeline.popleft()[0])
            self.cycle = self.pipeline[0][0] if self.pipeline else cast("RequestResponseCycle", self._running)
        return self._running is not None and not self._running.more_body

    def _send_and_close(self, answer: bytes) -> None:
        self._unset_keepalive_if_required()
        self.transport.write(answer)
        self.transport.close()
        self._wait_for_taking()


def give_up_unread(connections: Iterable[object]) -> None:
    """End the connections whose clients do not take their answers: at the end, whoever writes there would wait."""
    for connection in connections:
        if isinstance(connection, _BoundedProtocol) and connection.flow.write_paused:
            connection.transport.abort()


def _detach(cycle: RequestResponseCycle) -> dict[str, Any]:
    """See off a request: what it can ask its connection for would be a cycle of references. Returns its scope."""
    scope = cast("dict[str, Any]", cycle.scope)
    scope.pop(HAS_COME, None)
    scope.pop(TAKE_WHOLE, None)
    cycle.body = bytearray()
    return scope


def _nothing() -> None:
    """Stand in for the connection that a request has lost."""


def bounded_protocol(settings: ServeSettings, refused: Callable[[str], None]) -> type[HttpToolsProtocol]:
    """Return the protocol class for these settings; `refused` is told why, each time it sends a client away."""
    return type("BoundedProtocol", (_BoundedProtocol,), {"bounds": settings, "going": set(), "refused": refused})
