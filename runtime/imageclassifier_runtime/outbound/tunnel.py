"""A tunnel through an HTTP proxy (CONNECT; RFC 9110, 9.3.6), and TLS inside the TLS connection to a proxy."""

from __future__ import annotations

import functools
import io
import re
import ssl
from typing import TYPE_CHECKING, Any, TypeVar

from imageclassifier_runtime import __version__

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from imageclassifier_runtime.settings.proxies import Proxy

T = TypeVar("T")
_MAX_RESPONSE_BYTES = 64 * 1024
_CHUNK = 16 * 1024
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] ([0-9]{3})(?: ([ -~]{0,100}))?[^\r\n]*\r?\n")
_END = re.compile(rb"\r?\n\r?\n")
_RETRYABLE_STATUSES = frozenset({408, 425, 429})


class ProxyRefusedError(OSError):
    """A proxy's refusal of a connection or a request; `retryable` is whether another attempt may succeed."""

    def __init__(self, proxy: Proxy, what: str, status: int, reason: str) -> None:
        remedy = f"; {proxy.variable} needs a valid user and password" if status == 407 else ""
        super().__init__(f"the proxy refused the {what}: {f'{status} {reason}'.strip()}{remedy}")
        self.retryable = status >= 500 or status in _RETRYABLE_STATUSES


def open_tunnel(stream: socket.socket, proxy: Proxy, authority: str) -> None:
    """Ask the proxy that `stream` is connected to for a tunnel to `authority` (host:port); raises OSError."""
    lines = [
        f"CONNECT {authority} HTTP/1.1",
        f"Host: {authority}",
        f"User-Agent: imageclassifier/{__version__}",
        *([f"Proxy-Authorization: {proxy.authorization}"] if proxy.authorization else []),
    ]
    stream.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii"))
    head = b""
    while not (end := _END.search(head)):
        chunk = stream.recv(_CHUNK)
        if not chunk:
            raise OSError("the proxy closed the connection without a response")
        head += chunk
        if len(head) > _MAX_RESPONSE_BYTES:
            raise OSError(f"the proxy's response has headers of more than {_MAX_RESPONSE_BYTES} bytes")
    match = _STATUS_LINE.match(head)
    if match is None:
        raise OSError("the proxy's response is not HTTP/1: is this an HTTP proxy?")
    status = int(match[1])
    if not 200 <= status < 300:
        raise ProxyRefusedError(proxy, "connection", status, (match[2] or b"").decode("ascii"))
    if end.end() < len(head):
        raise OSError("the proxy sent data before the server could")


class TlsInTls:
    """A TLS connection inside the TLS connection to a proxy, with the methods of a socket that http.client uses.

    `SSLContext.wrap_socket` cannot wrap a socket that uses TLS already.
    """

    def __init__(self, outer: ssl.SSLSocket, context: ssl.SSLContext, host: str) -> None:
        self._outer = outer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._run(self._tls.do_handshake)

    def sendall(self, data: bytes | memoryview) -> None:
        """Send all bytes."""
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self._run(functools.partial(self._tls.write, rest[:_CHUNK])) :]

    def recv_into(self, buffer: memoryview) -> int:
        """Receive at least one byte and return the number of bytes, 0 at the end of the stream."""
        try:
            # with a buffer, it returns the number of bytes
            return self._run(functools.partial(self._tls.read, len(buffer), buffer))  # type: ignore[return-value]
        except ssl.SSLEOFError:  # the peer closed the connection without the end of the TLS stream
            return 0

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return a file to read from, which keeps the connection open until it is closed."""
        assert mode == "rb"
        return io.BufferedReader(_Reader(self, self._outer.makefile("rb", buffering=0)))

    def close(self) -> None:
        """Close the connection."""
        self._outer.close()

    def _run(self, step: Callable[[], T]) -> T:
        """Return the result of a step of the TLS protocol, after sending and receiving what it needs."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._send_outgoing()
                received = self._outer.recv(_CHUNK)
                if received:
                    self._incoming.write(received)
                else:
                    self._incoming.write_eof()
            else:
                self._send_outgoing()
                return result

    def _send_outgoing(self) -> None:
        if self._outgoing.pending:
            self._outer.sendall(self._outgoing.read())


class _Reader(io.RawIOBase):
    """Reads from a connection, and holds a file of its socket so that the socket stays open."""

    def __init__(self, stream: TlsInTls, held: io.RawIOBase) -> None:
        super().__init__()
        self._stream = stream
        self._held = held

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._stream.recv_into(memoryview(buffer).cast("B"))

    def close(self) -> None:
        self._held.close()
        super().close()
