"""Traces through a proxy, and to receivers of a private CA."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.errors import CaCertificatesError
from imageclassifier_runtime.settings.credentials import basic
from imageclassifier_runtime.settings.proxies import Proxies
from imageclassifier_runtime.settings.tracing import TracingSettings
from imageclassifier_runtime.telemetry.sender import DeliveryError, Sender

from tests.unit.runtime.certificates import issue_certificate, write_certificate
from tests.unit.runtime.outbound.http_proxy import HttpProxy, responding, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e2e.otlp import Receiver

HOST = "collector.example.org"


@pytest.fixture
def proxy() -> Iterator[HttpProxy]:
    with running() as proxy:
        yield proxy


def secured(receiver: Receiver, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True, do_handshake_on_connect=False)


def sender(receiver: Receiver, proxy: HttpProxy, *, scheme: str, ca_dir: Path | None = None) -> Sender:
    url = f"{'https' if proxy.context else 'http'}://user:w0rd@127.0.0.1:{proxy.port}"
    return Sender(
        TracingSettings(
            endpoint=f"{scheme}://{HOST}:{receiver.server_address[1]}/v1/traces",
            headers={"api-key": "s3cret"},
            ca_dir=ca_dir,
            proxies=Proxies.from_env({"HTTPS_PROXY": url, "HTTP_PROXY": url}),
        )
    )


def test_a_receiver_is_reached_through_a_tunnel(receiver: Receiver, proxy: HttpProxy, tmp_path: Path) -> None:
    ca_dir, certificate = issue_certificate(tmp_path, HOST)
    secured(receiver, certificate)
    assert sender(receiver, proxy, scheme="https", ca_dir=ca_dir).send(b"", seconds=20) == 0
    assert proxy.lines == [f"CONNECT {HOST}:{receiver.server_address[1]} HTTP/1.1"]
    assert proxy.credentials == [basic("user", "w0rd")]
    (headers,) = receiver.headers
    assert {name.lower(): value for name, value in headers.items()}["api-key"] == "s3cret"
    assert "proxy" not in str(headers).lower()


def test_a_request_without_tls_is_forwarded(receiver: Receiver, proxy: HttpProxy) -> None:
    assert sender(receiver, proxy, scheme="http").send(b"", seconds=20) == 0
    assert proxy.lines == [f"POST http://{HOST}:{receiver.server_address[1]}/v1/traces HTTP/1.1"]
    assert proxy.credentials == [basic("user", "w0rd")]
    assert len(receiver.bodies) == 1


def test_a_proxy_may_itself_use_tls(receiver: Receiver, tmp_path: Path) -> None:
    ca_dir, certificate = issue_certificate(tmp_path, HOST, "127.0.0.1")
    secured(receiver, certificate)
    with running(certificate) as proxy:
        assert sender(receiver, proxy, scheme="https", ca_dir=ca_dir).send(b"", seconds=20) == 0
    assert len(receiver.bodies) == 1


@pytest.mark.parametrize(
    ("status", "retryable"), [("407 Proxy Authentication Required", False), ("502 Bad", True)]
)
def test_a_refused_tunnel_is_a_failure_that_names_the_proxy(
    receiver: Receiver, proxy: HttpProxy, status: str, *, retryable: bool
) -> None:
    proxy.answer = responding(f"HTTP/1.1 {status}\r\n\r\n".encode())
    with pytest.raises(DeliveryError) as caught:
        sender(receiver, proxy, scheme="https").send(b"", seconds=20)
    named = f"through the proxy http://127.0.0.1:{proxy.port} (HTTPS_PROXY)"
    assert str(caught.value).startswith(f"{named}: the proxy refused the connection: {status}")
    assert caught.value.retryable is retryable
    assert "w0rd" not in str(caught.value)


def test_a_proxy_that_forwards_no_request_is_a_failure_with_its_remedy(
    receiver: Receiver, proxy: HttpProxy
) -> None:
    proxy.answer = responding(b"HTTP/1.1 407 Authenticate\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(DeliveryError) as caught:
        sender(receiver, proxy, scheme="http").send(b"", seconds=20)
    named = f"through the proxy http://127.0.0.1:{proxy.port} (HTTP_PROXY)"
    remedy = "HTTP_PROXY needs a valid user and password"
    assert str(caught.value) == f"{named}: the proxy refused the request: 407 Authenticate; {remedy}"
    assert caught.value.retryable is False


def test_a_receiver_of_a_private_ca_is_trusted_with_its_folder(receiver: Receiver, tmp_path: Path) -> None:
    ca_dir, certificate = issue_certificate(tmp_path, "127.0.0.1")
    secured(receiver, certificate)
    endpoint = receiver.url.replace("http:", "https:")
    assert Sender(TracingSettings(endpoint=endpoint, ca_dir=ca_dir)).send(b"", seconds=20) == 0
    # the certificate of OpenTelemetry's own variable replaces all others
    other = write_certificate(tmp_path)
    with pytest.raises(DeliveryError, match="CERTIFICATE_VERIFY_FAILED"):
        Sender(TracingSettings(endpoint=endpoint, ca_dir=ca_dir, certificate=other)).send(b"", seconds=20)


def test_invalid_certificates_are_rejected_at_the_start(receiver: Receiver, tmp_path: Path) -> None:
    endpoint = receiver.url.replace("http:", "https:")
    with pytest.raises(CaCertificatesError, match="is empty"):
        Sender(TracingSettings(endpoint=endpoint, ca_dir=tmp_path))
