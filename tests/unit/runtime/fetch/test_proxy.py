"""Fetching through a proxy: who gets which credentials, what a proxy may do wrong, and the address guard."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.errors import ACCESS_DENIED, ADDRESS_REFUSED, UNREACHABLE
from imageclassifier_runtime.settings.credentials import Credentials, basic
from imageclassifier_runtime.settings.proxies import Proxies

from tests.unit.runtime.certificates import issue_certificate
from tests.unit.runtime.fetch.fetching import IMAGENET, fetch, refused
from tests.unit.runtime.fetch.model_store import redirect
from tests.unit.runtime.fetch.tls_store import half, headers_without_end, serving, whole, without_length
from tests.unit.runtime.outbound.http_proxy import HttpProxy, responding, running

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from imageclassifier_runtime.settings.commands import FetchSettings

    from tests.unit.runtime.fetch.model_store import Store

HOST = "models.example.org"
PASSWORD = "p@ss/w0rd"
LOGIN = "user:p%40ss%2Fw0rd@"


@pytest.fixture
def proxy() -> Iterator[HttpProxy]:
    with running() as proxy:
        yield proxy


def proxies(proxy: HttpProxy, *, login: str = "", no_proxy: str = "") -> Proxies:
    """Use a proxy for all requests."""
    scheme = "https" if proxy.context else "http"
    url = f"{scheme}://{login}127.0.0.1:{proxy.port}"
    return Proxies.from_env({"HTTPS_PROXY": url, "HTTP_PROXY": url, "NO_PROXY": no_proxy})


def on_host(url: str) -> str:
    """Return the URL with a name that only the proxy resolves."""
    return url.replace("127.0.0.1", HOST)


def port_of(url: str) -> str:
    return url.rpartition(":")[2]


def test_https_goes_through_a_tunnel_that_hides_the_credentials_of_each_from_the_other(
    settings: FetchSettings, proxy: HttpProxy, tmp_path: Path
) -> None:
    ca_dir, server = issue_certificate(tmp_path, HOST)
    requests: list[bytes] = []
    with serving(server, whole, requests) as url:
        info = fetch(
            settings,
            f"{on_host(url)}/m.onnx",
            ca_dir=ca_dir,
            proxies=proxies(proxy, login=LOGIN),
            credentials=Credentials(http_authorization="Bearer t0ken"),
        )
    assert info.classes == 1000
    assert proxy.lines == [f"CONNECT {HOST}:{port_of(url)} HTTP/1.1"]
    assert proxy.credentials == [basic("user", PASSWORD)]
    (request,) = requests
    assert request.startswith(b"GET /m.onnx HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer t0ken\r\n" in request
    assert b"proxy" not in request.lower()


def test_a_tunnel_does_not_replace_the_verification_of_the_server(
    settings: FetchSettings, proxy: HttpProxy, tmp_path: Path
) -> None:
    ca_dir, server = issue_certificate(tmp_path, "other.example.org")
    with serving(server, whole) as url:
        error = refused(settings, f"{on_host(url)}/m.onnx", ca_dir=ca_dir, proxies=proxies(proxy))
    assert "Hostname mismatch" in error.message


def test_http_is_forwarded_with_the_whole_url(settings: FetchSettings, store: Store, proxy: HttpProxy) -> None:
    store.files["/m.onnx?v=1"] = IMAGENET
    url = f"http://ann:s3cret@{HOST}:{store.port}/m.onnx?v=1"
    assert fetch(settings, url, proxies=proxies(proxy, login=LOGIN)).classes == 1000
    assert proxy.lines == [f"GET http://{HOST}:{store.port}/m.onnx?v=1 HTTP/1.1"]
    assert proxy.credentials == [basic("user", PASSWORD)]
    assert store.seen == [("/m.onnx?v=1", basic("ann", "s3cret"))]
    assert store.headers[0]["Host"] == f"{HOST}:{store.port}"


@pytest.mark.parametrize("answer", [whole, without_length])
def test_a_proxy_may_itself_use_tls(settings: FetchSettings, store: Store, tmp_path: Path, answer: object) -> None:
    store.files["/m.onnx"] = IMAGENET
    ca_dir, certificate = issue_certificate(tmp_path, HOST, "127.0.0.1")
    with running(certificate) as proxy, serving(certificate, answer) as url:  # type: ignore[arg-type]
        changes = {"ca_dir": ca_dir, "proxies": proxies(proxy, login=LOGIN)}
        assert fetch(settings, f"{on_host(url)}/m.onnx", **changes).classes == 1000
        assert fetch(settings, f"http://{HOST}:{store.port}/m.onnx", **changes).classes == 1000
    assert [line.split()[0] for line in proxy.lines] == ["CONNECT", "GET"]
    assert proxy.credentials == 2 * [basic("user", PASSWORD)]


def test_a_download_that_ends_early_inside_two_tls_connections_is_noticed(
    settings: FetchSettings, tmp_path: Path
) -> None:
    ca_dir, certificate = issue_certificate(tmp_path, HOST, "127.0.0.1")
    with running(certificate) as proxy, serving(certificate, half) as url:
        error = refused(settings, f"{on_host(url)}/m.onnx", ca_dir=ca_dir, proxies=proxies(proxy), attempts=1)
    assert f"the connection ended after {len(IMAGENET) // 2} of {len(IMAGENET)} bytes" in error.message


@pytest.mark.parametrize("secure", [False, True])
def test_slow_headers_time_out_at_the_deadline(settings: FetchSettings, tmp_path: Path, *, secure: bool) -> None:
    ca_dir, certificate = issue_certificate(tmp_path, HOST, "127.0.0.1")
    start = time.monotonic()
    with running(certificate if secure else None) as proxy, serving(certificate, headers_without_end) as url:
        changes = {"ca_dir": ca_dir, "proxies": proxies(proxy), "timeout_seconds": 1.5}
        error = refused(settings, f"{on_host(url)}/m.onnx", **changes)
    assert (error.reason, "not fetched within 1.5 s" in error.message) == (UNREACHABLE, True)
    assert time.monotonic() - start < 30


def test_a_proxy_with_an_untrusted_certificate_is_not_used(settings: FetchSettings, tmp_path: Path) -> None:
    _, certificate = issue_certificate(tmp_path, "127.0.0.1")
    with running(certificate) as proxy:
        error = refused(settings, f"https://{HOST}/m.onnx", proxies=proxies(proxy, login=LOGIN), attempts=1)
    assert "(HTTPS_PROXY): TLS with the proxy failed: " in error.message
    assert "unable to get local issuer certificate" in error.message
    assert proxy.lines == []


def test_hosts_of_no_proxy_and_loopback_are_requested_directly(
    settings: FetchSettings, store: Store, proxy: HttpProxy
) -> None:
    store.files["/m.onnx"] = IMAGENET
    error = refused(settings, "http://models.invalid/m.onnx", proxies=proxies(proxy, no_proxy=".invalid"))
    assert error.message.startswith("cannot resolve models.invalid")
    assert fetch(settings, f"{store.url}/m.onnx", proxies=proxies(proxy)).classes == 1000
    assert proxy.lines == []


def test_each_redirect_uses_the_proxy_of_its_own_target(
    settings: FetchSettings, store: Store, proxy: HttpProxy
) -> None:
    store.answers["/m.onnx"] = redirect(f"{store.url}/direct.onnx")
    store.files["/direct.onnx"] = IMAGENET
    assert fetch(settings, f"http://{HOST}:{store.port}/m.onnx", proxies=proxies(proxy)).classes == 1000
    assert proxy.lines == [f"GET http://{HOST}:{store.port}/m.onnx HTTP/1.1"]
    assert [path for path, _ in store.seen] == ["/m.onnx", "/direct.onnx"]


@pytest.mark.parametrize(
    ("status", "attempts", "remedy"),
    [
        ("403 Forbidden", 1, ""),
        ("407 Proxy Authentication Required", 1, "; HTTPS_PROXY needs a valid user and password"),
        ("302 Found", 1, ""),
        ("502 Bad Gateway", 4, " (after 4 attempts)"),
        ("429 Too Many Requests", 4, " (after 4 attempts)"),
    ],
)
def test_a_refused_tunnel_is_reported_with_the_proxy_and_without_its_password(
    settings: FetchSettings,
    proxy: HttpProxy,
    caplog: pytest.LogCaptureFixture,
    status: str,
    attempts: int,
    remedy: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy.answer = responding(f"HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nsorry".encode())
    error = refused(settings, f"https://{HOST}/m.onnx", proxies=proxies(proxy, login=LOGIN))
    route = f"https://{HOST}/m.onnx through the proxy http://127.0.0.1:{proxy.port} (HTTPS_PROXY)"
    assert error.message == f"{route}: the proxy refused the connection: {status}{remedy}"
    assert error.reason == UNREACHABLE
    assert len(proxy.lines) == attempts
    assert "w0rd" not in caplog.text


@pytest.mark.parametrize(
    ("login", "response", "reason", "expected"),
    [
        (
            "",
            "403 Forbidden",
            UNREACHABLE,
            " responded 403 Forbidden: the source or the proxy refused the request",
        ),
        ("ann:s3cret@", "403 Forbidden", ACCESS_DENIED, " responded 403 Forbidden"),
        ("", "403 Forbidden\r\nX-Error-Code: GatedRepo", ACCESS_DENIED, " responded 403 Forbidden (GatedRepo)"),
        ("", "401 Unauthorized", ACCESS_DENIED, " responded 401 Unauthorized"),
        (
            "ann:s3cret@",
            "407 Authenticate",
            UNREACHABLE,
            ": the proxy refused the request: 407 Authenticate; HTTP_PROXY needs a valid user and password",
        ),
    ],
)
def test_a_refusal_of_a_forwarded_request_names_the_proxy(
    settings: FetchSettings, proxy: HttpProxy, login: str, response: str, reason: str, expected: str
) -> None:
    proxy.answer = responding(f"HTTP/1.1 {response}\r\nContent-Length: 0\r\n\r\n".encode())
    error = refused(settings, f"http://{login}{HOST}/m.onnx", proxies=proxies(proxy))
    route = f"http://{HOST}/m.onnx through the proxy http://127.0.0.1:{proxy.port} (HTTP_PROXY)"
    assert (error.reason, error.message) == (reason, f"{route}{expected}")
    assert len(proxy.lines) == 1


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (b"", "the proxy closed the connection without a response"),
        (b"HTTP/1.1 200 OK\r\nX: ", "the proxy closed the connection without a response"),
        (b"SSH-2.0-server\r\n\r\n", "the proxy's response is not HTTP/1: is this an HTTP proxy?"),
        (
            b"HTTP/1.1 200 OK\r\n" + 9000 * b"X: 456\r\n",
            "the proxy's response has headers of more than 65536 bytes",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "the proxy sent data before the server could"),
    ],
)
def test_an_invalid_response_of_a_proxy_is_an_error(
    settings: FetchSettings, proxy: HttpProxy, response: bytes, expected: str
) -> None:
    proxy.answer = responding(response)
    error = refused(settings, f"https://{HOST}/m.onnx", proxies=proxies(proxy), attempts=1)
    assert expected in error.message
    assert error.reason == UNREACHABLE


def test_a_tunnel_that_opens_too_slowly_times_out_at_the_deadline(
    settings: FetchSettings, proxy: HttpProxy
) -> None:
    stopped = threading.Event()

    def drip(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not stopped.wait(0.05):
            client.sendall(b"x")

    proxy.answer = drip
    start = time.monotonic()
    error = refused(settings, f"https://{HOST}/m.onnx", proxies=proxies(proxy), timeout_seconds=1.5)
    stopped.set()
    assert "not fetched within 1.5 s" in error.message
    assert time.monotonic() - start < 30


def test_an_unreachable_proxy_is_named(settings: FetchSettings, proxy: HttpProxy) -> None:
    dead = proxies(proxy, login=LOGIN)
    proxy.shutdown()
    proxy.server_close()
    error = refused(settings, f"https://{HOST}/m.onnx", proxies=dead, attempts=1)
    assert error.message.startswith(
        f"cannot connect to https://{HOST}/m.onnx through the proxy http://127.0.0.1:{proxy.port} (HTTPS_PROXY): "
    )


def test_a_proxy_at_a_refused_address_is_not_used(settings: FetchSettings, proxy: HttpProxy) -> None:
    error = refused(settings, f"https://{HOST}/m.onnx", proxies=proxies(proxy), allow_loopback=False)
    assert error.reason == ADDRESS_REFUSED
    assert error.message.startswith(
        f"the proxy http://127.0.0.1:{proxy.port} (HTTPS_PROXY): 127.0.0.1 resolves to "
    )
    assert proxy.lines == []


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.169.254.",
        "169.254.169.254\\x",
        "169.254.169.254%20x",
        "169.254.169.254 x",
        "10.0.0.1 x",
        "%31%36%39.254.169.254",
        "models.example.org\\x",
        "2852039166",
        "0xa9fea9fe",
        "0xa9fea9fe.",
        "[fd00:ec2::254]",
        "[::ffff:a9fe:a9fe]",
        "[fe80::1%25eth0]",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_source_that_is_a_refused_address_is_not_requested_through_a_proxy(
    settings: FetchSettings, proxy: HttpProxy, scheme: str, host: str
) -> None:
    error = refused(settings, f"{scheme}://{host}/latest/m.onnx", proxies=proxies(proxy))
    assert error.reason == ADDRESS_REFUSED
    assert proxy.lines == []


@pytest.mark.parametrize("host", ["localhost", "localhost.", "x.localhost", "127.0.0.1", "127.1", "[::1]"])
def test_loopback_is_refused_with_a_proxy_as_without(settings: FetchSettings, proxy: HttpProxy, host: str) -> None:
    error = refused(settings, f"http://{host}:{proxy.port}/m.onnx", proxies=proxies(proxy), allow_loopback=False)
    assert error.reason in {ADDRESS_REFUSED, UNREACHABLE}  # not every system resolves every form
    assert proxy.lines == []
