"""Behaviour below the application: headers, connections, and early responses."""

from __future__ import annotations

import contextlib
import socket
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.unit.runtime.process import Served
from tests.unit.runtime.support import image_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLASSIFY = "/api/v1/classify"
HEAD = b"POST /api/v1/classify HTTP/1.1\r\nHost: h\r\nContent-Type: image/png\r\n"


@pytest.fixture(scope="module")
def served(model_path: Path) -> Iterator[Served]:
    served = Served(MODEL_DIR=model_path, MAX_CONNECTIONS=20, HEADER_TIMEOUT_SECONDS=0.5, MAX_IMAGE_BYTES=100_000)
    yield served
    served.kill()


def exchange(served: Served, *parts: bytes) -> bytes:
    """Send bytes and return all that comes back until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as raw:
        answer = b""
        with contextlib.suppress(ConnectionError):
            for part in parts:
                raw.sendall(part)
        with contextlib.suppress(ConnectionError):
            while chunk := raw.recv(65536):
                answer += chunk
        return answer


def is_healthy(served: Served) -> bool:
    return served.get("/api/v1/health/ready") == 200


def test_endless_headers_are_cut_off(served: Served) -> None:
    flood = [b"GET / HTTP/1.1\r\n", *[b"X-A: " + b"b" * 1000 + b"\r\n"] * 1000]
    answer = exchange(served, *flood)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
    assert is_healthy(served)


def test_an_endless_header_line_is_cut_off(served: Served) -> None:
    answer = exchange(served, b"GET / HTTP/1.1\r\nX-A: ", b"a" * 40_000)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer


def test_incomplete_headers_time_out(served: Served) -> None:
    assert exchange(served, b"GET / HTTP/1.1\r\nHost: h\r\n") == b""


def test_endless_trailers_are_cut_off(served: Served) -> None:
    chunk = b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
    answer = exchange(served, HEAD + chunk, *[b"X-T: " + b"b" * 1000 + b"\r\n"] * 200)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
    assert is_healthy(served)


def test_malformed_http_gets_400_as_problem_details(served: Served) -> None:
    answer = exchange(served, b"\x16\x03\x01\x02\x00\x01hello\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


def test_bytes_beyond_the_declared_length_are_a_bad_request(served: Served) -> None:
    image = image_bytes()
    head = HEAD + b"Content-Length: %d\r\n\r\n" % len(image)
    assert b"HTTP/1.1 400 " in exchange(served, head + image + b"\x00garbage\r\n\r\n")
    assert is_healthy(served)


def test_a_client_that_is_still_sending_receives_the_rejection(served: Served) -> None:
    connection = served.connect()
    connection.request("POST", CLASSIFY, bytes(5_000_000), {"Content-Type": "image/png"})
    response = connection.getresponse()
    assert (response.status, response.headers["Connection"]) == (413, "close")
    assert b"100000 bytes" in response.read()
    connection.close()


def test_expect_100_continue_is_rejected_before_the_body_is_sent(served: Served) -> None:
    answer = exchange(served, HEAD + b"Content-Length: 5000000\r\nExpect: 100-continue\r\n\r\n")
    assert b"413" in answer.split(b"\r\n", 1)[0] or b"\r\nHTTP/1.1 413" in answer


def test_connections_beyond_the_limit_get_503_with_retry_after(served: Served) -> None:
    held: list[socket.socket] = []
    try:
        answers = []
        for _ in range(20):  # none is idle: each has started to send its body
            raw = socket.create_connection(("127.0.0.1", served.port), timeout=20)
            held.append(raw)
            raw.sendall(HEAD + b"Content-Length: 90000\r\nExpect: 100-continue\r\n\r\n")
            answers.append(raw.recv(65536).split(b"\r\n", 1)[0])
            raw.sendall(bytes(60_000))
        assert set(answers) == {b"HTTP/1.1 100 Continue"}
        assert served.get("/docs") == 503
        assert is_healthy(served)  # probes of every protocol are still answered
        paths = ("/v2/health/ready", "/v2/models/colours/ready?x=/infer", "/v1/models/colours")
        assert [served.get(path) for path in paths] == [200] * 3
        assert served.get("/v2/models/colours?/ready") == 503
    finally:
        for raw in held:
            raw.close()
    while served.get("/docs") == 503:
        pass


def test_a_keep_alive_connection_serves_many_requests(served: Served) -> None:
    connection = served.connect()
    for _ in range(3):
        connection.request("POST", CLASSIFY, image_bytes(), {"Content-Type": "image/png"})
        response = connection.getresponse()
        assert response.status == 200
        response.read()
        assert isinstance(connection.sock, socket.socket)
    connection.close()


def test_pipelined_requests_are_answered_in_order(served: Served) -> None:
    image = image_bytes()
    one = HEAD + b"Content-Length: %d\r\n\r\n" % len(image) + image
    last = b"GET /api/v1/health/live HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    live = b"GET /api/v1/health/live HTTP/1.1\r\nHost: h\r\n\r\n"
    answer = exchange(served, one + one + 20 * live + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 23
    assert answer.endswith(b'{"status": "alive"}')


LIVE = b"GET /api/v1/health/live HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("behind", "status"),
    [
        (b"\x00garbage\r\n\r\n", 400),
        (HEAD + CHUNKED + b"no length\r\n", 400),
        (HEAD + CHUNKED + b"1\r\nx\r\n0\r\nX-T: " + b"b" * 33_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nX-A: " + b"a" * 33_000 + b"\r\n\r\n", 431),
        (LIVE * 200, 503),
    ],
)
def test_a_rejection_follows_the_responses_to_earlier_requests(served: Served, behind: bytes, status: int) -> None:
    image = image_bytes()
    one = HEAD + b"Content-Length: %d\r\n\r\n" % len(image) + image
    answer = exchange(served, one + LIVE + one + behind)
    statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses[:3] == [200, 200, 200]
    assert statuses[3:-1] == [200] * len(statuses[3:-1])
    assert statuses[-1] == status
    assert answer.count(b"predictions") == 2
    assert answer.count(b"connection: close") == 1
    assert is_healthy(served)


@pytest.mark.parametrize("line", [b"Host: h\r\n", b"X-A: " + b"a" * 40_000])
def test_incomplete_headers_of_a_pipelined_request_time_out(served: Served, line: bytes) -> None:
    answer = exchange(served, LIVE + b"GET / HTTP/1.1\r\n" + line)
    assert answer.count(b"HTTP/1.1 200 ") == 1


def test_the_body_of_a_pipelined_request_has_its_own_timeout(served: Served) -> None:
    image = image_bytes()
    one = HEAD + b"Content-Length: %d\r\n\r\n" % len(image)
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as raw:
        raw.sendall(one + image + one + image[:10])
        answer = b""
        while b"predictions" not in answer:
            answer += raw.recv(65536)
        raw.settimeout(1.0)  # twice the header timeout
        with pytest.raises(TimeoutError):
            raw.recv(1)
        raw.settimeout(20)
        raw.sendall(image[10:])
        assert raw.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_too_many_pipelined_requests_are_rejected(served: Served) -> None:
    answer = exchange(served, *[b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 1000] * 20)
    assert answer == b"" or b"HTTP/1.1 503 " in answer
    assert answer.count(b"HTTP/1.1 200 ") < 1000
    assert is_healthy(served)
    with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/metrics", timeout=20) as metrics:
        assert b'rejected_total{reason="pipelined"}' in metrics.read()


@pytest.mark.parametrize(("start", "status"), [(b"GET /nowhere", 404), (b"PUT /docs", 405)])
def test_a_query_that_is_not_utf_8_is_accepted(served: Served, start: bytes, status: int) -> None:
    answer = exchange(served, start + b"?\xff=\xfe HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert int(answer.split()[1]) in {status, 400}


def test_http_1_0_is_supported(served: Served) -> None:
    answer = exchange(served, b"GET /api/v1/health/live HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_an_unread_body_of_an_unknown_path_does_not_hold_its_connection(served: Served) -> None:
    answer = exchange(served, b"POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n", b"x" * 10)
    assert answer.startswith(b"HTTP/1.1 404 ")
