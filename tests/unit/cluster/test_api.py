"""The client with a real TLS server that requires a client certificate, as an API server does."""

from __future__ import annotations

import gc
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from e2e.cluster.api import ApiError, connect
from e2e.cluster.pki import Authority, write_kubeconfig
from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NODE = {"metadata": {"name": "a"}}


class _Handler(BaseHTTPRequestHandler):
    """Serves the node `a`, a few errors, and `/readyz` in plain text."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def _respond(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        user = dict(pair[0] for pair in self.connection.getpeercert()["subject"])["commonName"]
        path, _, query = self.path.partition("?")
        self.server.requests.append((user, path, query))
        match path:
            case "/readyz":
                self._respond(self.server.readiness, b"ok")
            case "/api/v1/nodes/a":
                self._respond(200, json.dumps(_NODE).encode(), Warning='299 - "old version"')
            case "/api/v1/nodes":
                self._respond(200, json.dumps({"items": [_NODE]}).encode())
            case "/api/v1/pods":
                self._respond(403, json.dumps({"kind": "Status", "message": "may not list pods"}).encode())
            case "/api/v1/events":
                self._respond(500, b"a plain text\n")
            case _:
                self._respond(404, json.dumps({"message": "not found"}).encode())

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._respond(200, json.dumps({"type": self.headers["Content-Type"], "patch": body}).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the standard library
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, str, str]] = []
        self.readiness = 200
        self.authority = Authority(folder, "ca")
        certificate = self.authority.issue("server", user="server", hosts=["127.0.0.1"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        context.load_verify_locations(self.authority.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def kubeconfig(self, path: Path, *, port: int | None = None) -> Path:
        write_kubeconfig(
            path,
            server=f"https://127.0.0.1:{port or self.server_port}",
            authority=self.authority.certificate,
            certificate=self.authority.issue("me", user="me"),
            context="test",
        )
        return path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[_Server]:
    with _Server(tmp_path / "pki") as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def kubeconfig(server: _Server, tmp_path: Path) -> Path:
    return server.kubeconfig(tmp_path / "kubeconfig")


def test_the_client_authenticates_with_the_certificate_of_its_kubeconfig_and_ignores_proxy_settings(
    server: _Server, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    api = connect(kubeconfig)
    assert api.ready()
    assert api.list("nodes", selector="a=b") == [_NODE]
    assert server.requests == [("me", "/readyz", ""), ("me", "/api/v1/nodes", "labelSelector=a%3Db")]


def test_the_client_closes_its_connections(server: _Server, kubeconfig: Path) -> None:
    # the server has a thread for each open connection
    before = threading.active_count()
    api = connect(kubeconfig)
    for _ in range(3):
        api.list("nodes")
    until(lambda: threading.active_count() == before, seconds=10, what="the server's connections to be closed")
    del api
    gc.collect()  # an open socket would be a ResourceWarning, which is an error here
    assert len(server.requests) == 3


def test_an_unready_or_unreachable_server_is_not_ready(server: _Server, kubeconfig: Path, tmp_path: Path) -> None:
    server.readiness = 500
    assert not connect(kubeconfig).ready()
    assert not connect(server.kubeconfig(tmp_path / "other", port=1)).ready()


def test_a_server_certificate_of_another_ca_is_rejected(server: _Server, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", "ca")
    path = tmp_path / "kubeconfig"
    write_kubeconfig(
        path,
        server=f"https://127.0.0.1:{server.server_port}",
        authority=other.certificate,
        certificate=server.authority.issue("me", user="me"),
        context="test",
    )
    with pytest.raises(ApiError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        connect(path).list("nodes")
    assert caught.value.code == 0
    assert server.requests == []


def test_not_found_is_none_and_other_errors_have_the_servers_message(
    kubeconfig: Path,
) -> None:
    api = connect(kubeconfig)
    assert api.get("nodes", "b") is None
    assert api.list("services") == []
    with pytest.raises(ApiError, match=r"^GET /api/v1/pods: 403 may not list pods$") as caught:
        api.list("pods")
    assert caught.value.code == 403
    with pytest.raises(ApiError, match=r"^GET /api/v1/events: 500 a plain text$"):
        api.list("events")


def test_a_patch_is_a_merge_patch(kubeconfig: Path) -> None:
    found = connect(kubeconfig).patch("nodes", "a", {"spec": {"podCIDR": "10.0.0.0/24"}})
    assert found == {"type": "application/merge-patch+json", "patch": {"spec": {"podCIDR": "10.0.0.0/24"}}}


def test_a_warning_is_passed_to_the_handler(kubeconfig: Path) -> None:
    warned: list[str] = []
    assert connect(kubeconfig, on_warning=warned.append).get("nodes", "a") == _NODE
    assert warned == ['GET /api/v1/nodes/a: 299 - "old version"']
