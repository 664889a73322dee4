"""The steady load sends at its rate and counts everything but a 200 as a failure."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from e2e.classifiers import Endpoint
from e2e.load import steady_load
from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    ports: set[int]
    status: int

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.ports.add(self.client_address[1])
        self.send_response(self.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def server() -> Iterator[tuple[Endpoint, type[_Handler]]]:
    handler = type("Handler", (_Handler,), {"ports": set(), "status": 200})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Endpoint(url=f"http://127.0.0.1:{listening.server_port}"), handler
        listening.shutdown()
        thread.join()


def test_every_second_request_opens_a_new_connection(server: tuple[Endpoint, type[_Handler]]) -> None:
    endpoint, handler = server
    with steady_load(endpoint, b"image", per_second=100) as report:
        until(lambda: report.sent >= 20, seconds=10, what="20 requests")
    assert not report.failures
    assert len(handler.ports) >= report.sent // 2
    assert len(handler.ports) < report.sent
    assert f"{report.sent} requests, 0 failed" in str(report)


def test_every_status_other_than_200_is_a_failure(server: tuple[Endpoint, type[_Handler]]) -> None:
    endpoint, handler = server
    handler.status = 503
    with steady_load(endpoint, b"image", per_second=100) as report:
        until(lambda: report.sent >= 2, seconds=10, what="2 requests")
    assert len(report.failures) == report.sent
    assert "503" in report.failures[0]


def test_a_refused_connection_is_a_failure() -> None:
    with steady_load(Endpoint(url="http://127.0.0.1:9"), b"image", per_second=100) as report:
        until(lambda: report.sent >= 2, seconds=10, what="2 requests")
    assert len(report.failures) == report.sent
