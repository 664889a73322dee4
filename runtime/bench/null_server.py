"""A server that only reads requests and responds: its rate is the load generator's ceiling."""

from __future__ import annotations

import asyncio
import contextlib
import json

import uvloop

_BODY = json.dumps({"predictions": [{"class_id": 0, "class_name": "x" * 20, "probability": 0.1}] * 5}).encode()
_ANSWER = (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_BODY)) + _BODY
_LENGTH = b"\r\nContent-Length: "


class Null(asyncio.Protocol):
    """Responds to each request once all its bytes have arrived."""

    def __init__(self) -> None:
        self._head = b""
        self._missing = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Respond at the end of a request; the load generator does not pipeline requests."""
        if not self._missing:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            start = self._head.find(_LENGTH) + len(_LENGTH)
            length = int(self._head[start : self._head.find(b"\r\n", start)])
            self._missing = length - (len(self._head) - end - 4)
            self._head = b""
        else:
            self._missing -= len(data)
        if not self._missing and self._transport is not None:
            self._transport.write(_ANSWER)


async def serve() -> None:
    """Listen on a free loopback port, print it, and serve until killed."""
    server = await asyncio.get_running_loop().create_server(Null, "127.0.0.1", 0)
    print(json.dumps({"message": "Serving", "port": server.sockets[0].getsockname()[1]}), flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve())
