"""A real HTTP proxy on loopback, which resolves every name to 127.0.0.1 and records what it is asked for."""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import ssl
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_CHUNK = 65536


class HttpProxy(socketserver.ThreadingTCPServer):
    """Forwards requests and opens tunnels, unless `answer` is set, which then handles the connection.

    `lines` are the request lines, `credentials` the values of Proxy-Authorization, None for none.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, certificate: Path | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port: int = self.server_address[1]
        self.lines: list[str] = []
        self.credentials: list[str | None] = []
        self.answer: Callable[[socket.socket], None] | None = None
        self.context = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors of clients that disconnect, as several tests do."""


class _Handler(socketserver.BaseRequestHandler):
    server: HttpProxy

    def handle(self) -> None:
        client = self.request
        if self.server.context is not None:
            client = self.server.context.wrap_socket(client, server_side=True)
        with client, contextlib.suppress(OSError):
            line, headers = _request(client)
            found = {name.lower(): value for name, value in headers}
            self.server.credentials.append(found.get("proxy-authorization"))
            self.server.lines.append(line)
            if self.server.answer is not None:
                self.server.answer(client)
            elif line.startswith("CONNECT "):
                _tunnel(client, line)
            else:
                _forward(client, line, headers)


@contextlib.contextmanager
def running(certificate: Path | None = None) -> Iterator[HttpProxy]:
    """Run a proxy, over TLS if a file with its certificate and key is given."""
    with HttpProxy(certificate) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join()


def responding(response: bytes) -> Callable[[socket.socket], None]:
    """Return an answer that is these bytes."""
    return lambda client: client.sendall(response)


def _request(client: socket.socket) -> tuple[str, list[tuple[str, str]]]:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        if not byte:
            raise ConnectionError("the client closed the connection")
        head += byte
    line, *fields = head.decode("ascii").split("\r\n")[:-2]
    pairs = (field.partition(":") for field in fields)
    return line, [(name, value.strip()) for name, _, value in pairs]


def _tunnel(client: socket.socket, line: str) -> None:
    port = line.split()[1].rpartition(":")[2]
    with socket.create_connection(("127.0.0.1", int(port))) as server:
        client.sendall(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n")
        _relay(client, server)


def _forward(client: socket.socket, line: str, headers: list[tuple[str, str]]) -> None:
    method, url, version = line.split()
    parts = urlsplit(url)
    assert parts.scheme == "http", "a proxy gets the whole URL"
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    kept = "".join(f"{name}: {value}\r\n" for name, value in headers if not name.lower().startswith("proxy-"))
    with socket.create_connection(("127.0.0.1", parts.port or 80)) as server:
        server.sendall(f"{method} {path} {version}\r\n{kept}\r\n".encode("ascii"))
        _relay(client, server)


def _relay(client: socket.socket, server: socket.socket) -> None:
    """Copy bytes in both directions until either side closes its connection."""
    while True:
        # TLS may have received more than was read
        pending = isinstance(client, ssl.SSLSocket) and client.pending()
        ready = [client] if pending else select.select([client, server], [], [])[0]
        for source in ready:
            data = source.recv(_CHUNK)
            if not data:
                return
            (server if source is client else client).sendall(data)
