"""A server over TLS on loopback, whose response to every request is one function."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import TYPE_CHECKING

from tests.unit.runtime.fetch.fetching import IMAGENET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextlib.contextmanager
def serving(
    certificate: Path,
    answer: Callable[[ssl.SSLSocket, threading.Event], None],
    requests: list[bytes] | None = None,
) -> Iterator[str]:
    """Handle every TLS connection with `answer`, which stops once its event is set; yields the URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                raw, _ = listener.accept()
                threading.Thread(target=one, args=(raw,), daemon=True).start()

    def one(raw: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True) as stream:
            request = stream.recv(65536)
            if requests is not None:
                requests.append(request)
            answer(stream, stop)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def whole(stream: ssl.SSLSocket, _stop: threading.Event) -> None:
    """Send the whole file."""
    stream.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(IMAGENET)}\r\n\r\n".encode() + IMAGENET)


def without_length(stream: ssl.SSLSocket, _stop: threading.Event) -> None:
    """Send the whole file, whose end is the end of the connection."""
    stream.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + IMAGENET)
    stream.unwrap()


def half(stream: ssl.SSLSocket, _stop: threading.Event) -> None:
    """Send half of the file, and close the connection without the end of the TLS stream."""
    body = IMAGENET[: len(IMAGENET) // 2]
    stream.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(IMAGENET)}\r\n\r\n".encode() + body)


def headers_without_end(stream: ssl.SSLSocket, stop: threading.Event) -> None:
    """Send headers byte by byte."""
    stream.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not stop.wait(0.05):
        stream.sendall(b"x")
