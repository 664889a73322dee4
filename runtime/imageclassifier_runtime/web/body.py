"""Reading request bodies: counted as they arrive, whatever their headers say, and within a deadline."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from imageclassifier_runtime.errors import BodyInvalidError, BodyTimeoutError, TooLargeError

if TYPE_CHECKING:
    from starlette.types import Receive


class BodyReader:
    """Reads one request's body once, or throws it away."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.started = False
        self.complete = False

    async def read(self, *, limit: int, seconds: float, idle_seconds: float) -> bytearray:
        """Return the whole body; raises TooLargeError, BodyTimeoutError, ClientDisconnect.

        `seconds` is for all of it, `idle_seconds` for each part.
        """
        body = bytearray()
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not self.complete:
            try:
                async with asyncio.timeout_at(min(end, loop.time() + idle_seconds)):
                    chunk = await self._next()
            except TimeoutError:
                raise BodyTimeoutError(f"{len(body)} bytes came in time, then no more.") from None
            if len(body) + len(chunk) > limit:
                raise too_many_bytes(limit)
            body += chunk
        return body

    async def discard(self, *, limit: int, seconds: float) -> None:
        """Read and forget what is left, so that the client gets to read its answer; give up at a bound."""
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
        return chunk


def declared_length(headers: dict[bytes, bytes]) -> int | None:
    """Return Content-Length, or None where the body is chunked; raises BodyInvalidError."""
    text = headers.get(b"content-length")
    if text is None:
        return None
    if not text.isdigit() or len(text) > 18:
        raise BodyInvalidError("Content-Length is not a number.")
    return int(text)


def too_many_bytes(limit: int) -> TooLargeError:
    """Return the error for a body above the limit."""
    return TooLargeError(f"The body has more than {limit} bytes.", reason="too-many-bytes")
