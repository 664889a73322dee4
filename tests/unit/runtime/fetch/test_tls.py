"""Fetching over TLS: certificates are verified, and the deadline applies."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.errors import UNREACHABLE

from tests.unit.runtime.certificates import write_certificate
from tests.unit.runtime.fetch.fetching import IMAGENET, fetch, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from imageclassifier_runtime.settings.commands import FetchSettings


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return write_certificate(tmp_path)


@contextlib.contextmanager
def serving(certificate: Path, answer: Callable[[ssl.SSLSocket, threading.Event], None]) -> Iterator[str]:
    """Handle every TLS connection with `answer`, which stops once its event is set."""
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
            stream.recv(65536)
            answer(stream, stop)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def whole(stream: ssl.SSLSocket, _stop: threading.Event) -> None:
    stream.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(IMAGENET)}\r\n\r\n".encode() + IMAGENET)


def headers_without_end(stream: ssl.SSLSocket, stop: threading.Event) -> None:
    stream.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not stop.wait(0.05):
        stream.sendall(b"x")


def test_a_model_is_fetched_over_tls(
    settings: FetchSettings, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(certificate, whole) as url:
        assert fetch(settings, f"{url}/m.onnx").classes == 1000


def test_an_untrusted_certificate_is_rejected(settings: FetchSettings, certificate: Path) -> None:
    with serving(certificate, whole) as url:
        error = refused(settings, f"{url}/m.onnx")
    assert (error.reason, "certificate verify failed" in error.message) == (UNREACHABLE, True)


def test_slow_headers_time_out_at_the_deadline(
    settings: FetchSettings, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    start = time.monotonic()
    with serving(certificate, headers_without_end) as url:
        error = refused(settings, f"{url}/m.onnx", timeout_seconds=1.5)
    assert (error.reason, "not fetched within 1.5 s" in error.message) == (UNREACHABLE, True)
    assert time.monotonic() - start < 30
