"""A model store with real HTTP on loopback, whose responses a test defines, including invalid ones."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Store:
    """A model store that sends the files and responses of a test, and records the requests."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.seen: list[tuple[str, str | None]] = []
        self.headers: list[Mapping[str, str]] = []
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                store.seen.append((self.path, self.headers.get("Authorization")))
                store.headers.append(dict(self.headers))
                if self.path in store.answers:
                    store.answers[self.path](self)
                elif self.path in store.files:
                    send(self, 200, store.files[self.path])
                else:
                    send(self, 404)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Ignore errors of clients that disconnect during a response, as several tests do."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def ranges(self) -> list[str | None]:
        """The `Range` header of every request, in order."""
        return [headers.get("Range") for headers in self.headers]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    for name, value in ({"Content_Length": str(len(body))} | headers).items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def redirect(location: str) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: send(handler, 302, Location=location)


class Resumable:
    """A file that supports range requests (RFC 9110, 14); its first responses end after `cuts` bytes."""

    def __init__(self, body: bytes, *, cuts: list[int] | None = None, etag: str | None = '"v1"') -> None:
        self.body = body
        self.cuts = list(cuts or [])
        self.etag = etag

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        start = int(match[1]) if match and handler.headers.get("If-Range") in {None, self.etag} else 0
        if match and start >= len(self.body):
            send(handler, 416, Content_Range=f"bytes */{len(self.body)}")
            return
        rest = self.body[start:]
        cut = self.cuts.pop(0) if self.cuts else len(rest)
        headers = {"Content_Length": str(len(rest))} | ({"ETag": self.etag} if self.etag else {})
        if start:
            headers["Content_Range"] = f"bytes {start}-{len(self.body) - 1}/{len(self.body)}"
        send(handler, 206 if start else 200, rest[:cut], **headers)
        if cut < len(rest):
            handler.close_connection = True
