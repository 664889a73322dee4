"""Request bodies: counted as they arrive, regardless of their headers; read within a deadline, or discarded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from imageclassifier_runtime.errors import BodyInvalidError, BodyTimeoutError, TooLargeError
from imageclassifier_runtime.request.slow_clients import GRACE_SECONDS, is_slow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import Receive, Scope, Send

_MIN_PAUSE, _MAX_PAUSE = 0.001, 0.05
_DISCARD_SECONDS = 10.0
_DISCARD_BYTES = 64 * 1024 * 1024


class BodyReader:
    """Reads one request's body once, or discards it."""

    def __init__(
        self, receive: Receive, take_complete_body: Callable[[], bytearray | None] = lambda: None
    ) -> None:
        self._receive = receive
        self._take_complete_body = take_complete_body
        self.started = False
        self.complete = False
        self.received = 0

    async def wait_for_bytes(self, has_arrived: Callable[[int], bool], *, amount: int, seconds: float) -> None:
        """Wait until `amount` bytes of the body have arrived, without reading them; raises BodyTimeoutError."""
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + seconds, _MIN_PAUSE
        while not has_arrived(amount):
            if loop.time() > end:
                raise BodyTimeoutError(f"Less than {amount} bytes arrived in {seconds:g} s; others are waiting.")
            await asyncio.sleep(pause)
            pause = min(2 * pause, _MAX_PAUSE)

    async def read(
        self, *, limit: int, seconds: float, idle_seconds: float, contended: Callable[[], bool] = lambda: False
    ) -> bytearray:
        """Return the whole body; raises TooLargeError, BodyTimeoutError, ClientDisconnect.

        `seconds` limits the whole body, `idle_seconds` each part. If other requests wait for its memory
        (`contended()`), a minimum rate applies too.
        """
        if not self.started and (complete_body := self._take_complete_body()) is not None:
            self.started = self.complete = True
            self.received = len(complete_body)
            if len(complete_body) > limit:
                raise too_many_bytes(limit)
            return complete_body
        body = bytearray()
        loop = asyncio.get_running_loop()
        began = last = loop.time()
        end = began + seconds
        while not self.complete:
            due = min(end, last + idle_seconds)
            try:
                async with asyncio.timeout_at(min(due, loop.time() + GRACE_SECONDS)):
                    chunk = await self._next()
                last = loop.time()
            except TimeoutError:
                if loop.time() >= due:
                    raise BodyTimeoutError(f"Timed out after {len(body)} bytes.") from None
                chunk = b""
            if contended() and not self.complete and is_slow(len(body) + len(chunk), loop.time() - began):
                elapsed = loop.time() - began
                raise BodyTimeoutError(f"Only {len(body)} bytes arrived in {elapsed:.0f} s; others are waiting.")
            if len(body) + len(chunk) > limit:
                raise too_many_bytes(limit)
            body += chunk
        return body

    async def discard(self, *, limit: int, seconds: float) -> None:
        """Read and drop the rest, up to a limit, so that the client can read its response."""
        try:
            async with asyncio.timeout(seconds):
                while not self.complete and limit > 0:
                    limit -= len(await self._next())
        except (TimeoutError, ClientDisconnect):
            return

    async def _next(self) -> bytes:
        self.started = True
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self.complete = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        self.received += len(chunk)
        return chunk


class EarlyResponse(Response):
    """A response sent before the request's body was read.

    The whole response is sent first, then the rest of the body is read and dropped: closing a connection with
    unread data resets it, and many clients then never see the response. The connection is closed afterwards.
    """

    def __init__(self, response: Response, reader: BodyReader) -> None:
        super().__init__(response.body, response.status_code, dict(response.headers), response.media_type)
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, then discard the body within limits."""
        headers = [*self.raw_headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        try:
            await self._reader.discard(limit=_DISCARD_BYTES, seconds=_DISCARD_SECONDS)
        except asyncio.CancelledError:  # shutdown; the client has its response
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def early_response(response: Response, reader: BodyReader, headers: Iterable[tuple[bytes, bytes]]) -> Response:
    """Return the response in a form that reaches the client even if part of the body has not arrived."""
    if reader.complete:
        return response
    by_name = dict(headers)
    # A client that waits for `100 Continue` has not sent its body.
    if not reader.started and by_name.get(b"expect", b"").lower() == b"100-continue":
        return response
    has_body = b"transfer-encoding" in by_name or by_name.get(b"content-length", b"0") != b"0"
    return EarlyResponse(response, reader) if has_body or reader.started else response


def declared_length(headers: dict[bytes, bytes]) -> int | None:
    """Return Content-Length, or None if the body is chunked; raises BodyInvalidError."""
    text = headers.get(b"content-length")
    if text is None:
        return None
    if not text.isdigit() or len(text) > 18:
        raise BodyInvalidError("Content-Length is not a number.")
    return int(text)


def too_many_bytes(limit: int) -> TooLargeError:
    """Return the error for a body over the limit."""
    return TooLargeError(f"The body has more than {limit} bytes.", reason="too-many-bytes")
