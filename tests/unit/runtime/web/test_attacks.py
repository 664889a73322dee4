"""Clients that hold connections, headers or memory do not block others."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import struct
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.unit.runtime.process import Served
from tests.unit.runtime.support import image_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLASSIFY = "/api/v1/classify"
MOST = 40
LARGE = 10 << 20
HEAD = b"POST /api/v1/classify HTTP/1.1\r\nHost: h\r\nContent-Type: image/png\r\n"
LARGE_HEAD = HEAD + b"Content-Length: %d\r\n\r\n" % LARGE


@pytest.fixture
def served(model_path: Path) -> Iterator[Served]:
    """A fresh server with few connections and memory for three large bodies."""
    served = Served(MODEL_DIR=model_path, MAX_CONNECTIONS=MOST, MEMORY_LIMIT_BYTES=400 << 20)
    yield served
    served.kill()


@pytest.fixture
def attackers(served: Served) -> Iterator[list[socket.socket]]:
    held: list[socket.socket] = []
    yield held
    for raw in held:
        raw.close()


def attack(served: Served, attackers: list[socket.socket], number: int, *parts: bytes) -> None:
    """Open connections, send on each, and keep them open."""
    for _ in range(number):
        raw = socket.create_connection(("127.0.0.1", served.port), timeout=20)
        attackers.append(raw)
        with contextlib.suppress(ConnectionError):
            for part in parts:
                raw.sendall(part)


def classify(served: Served) -> int:
    """Send a request on a new connection; return 0 if there was no response."""
    connection = served.connect()
    try:
        connection.request("POST", CLASSIFY, image_bytes(), {"Content-Type": "image/png"})
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
    return response.status


def others_are_served(served: Served) -> bool:
    return [classify(served) for _ in range(5)] == [200] * 5


def until_served(served: Served) -> None:
    end = time.monotonic() + 25
    while classify(served) != 200:
        assert time.monotonic() < end


def test_idle_keep_alive_connections_are_closed_for_new_ones(
    served: Served, attackers: list[socket.socket]
) -> None:
    for _ in range(2 * MOST):
        attack(served, attackers, 1, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert attackers[-1].recv(65536).startswith(b"HTTP/1.1 200 ")
    assert others_are_served(served)


@pytest.mark.parametrize("part", [b"", b"GET / HTTP/1.1\r\nHost: h\r\n", b"P"])
def test_connections_without_a_request_are_closed_for_new_ones(
    served: Served, attackers: list[socket.socket], part: bytes
) -> None:
    attack(served, attackers, 3 * MOST, part)
    assert others_are_served(served)


def test_bodies_that_never_arrive_do_not_block_others(served: Served, attackers: list[socket.socket]) -> None:
    attack(served, attackers, MOST - 10, LARGE_HEAD, b"\x89")
    began = time.monotonic()
    assert others_are_served(served)
    # shorter than the body timeout of 10 s
    assert time.monotonic() - began < 10


def test_stalled_large_bodies_are_dropped_when_others_wait(served: Served, attackers: list[socket.socket]) -> None:
    attack(served, attackers, 6, LARGE_HEAD, bytes(70_000))
    assert others_are_served(served)


def test_stalled_chunked_bodies_are_dropped_when_others_wait(
    served: Served, attackers: list[socket.socket]
) -> None:
    attack(served, attackers, 6, HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
    assert others_are_served(served)


def test_a_disconnect_while_the_body_is_pending_is_noticed(served: Served, attackers: list[socket.socket]) -> None:
    attack(served, attackers, 3, LARGE_HEAD, b"x" * 100_000)
    before = time.monotonic()
    for reset in (False, True):
        for _ in range(10):
            raw = socket.create_connection(("127.0.0.1", served.port), timeout=20)
            raw.sendall(LARGE_HEAD + b"x" * 30_000)
            if reset:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()
    with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/metrics", timeout=20) as metrics:
        assert b'code="408"' not in metrics.read()
    disconnects = 0
    while disconnects < 20:
        assert time.monotonic() - before < 5, f"only {disconnects} of 20 disconnects were counted"
        with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/metrics", timeout=20) as metrics:
            found = re.search(rb'requests_total\{code="499",protocol="native"\} (\d+)', metrics.read())
        disconnects = int(found[1]) if found else 0


def test_slow_bodies_on_all_connections_are_dropped(served: Served, attackers: list[socket.socket]) -> None:
    attack(served, attackers, MOST, LARGE_HEAD, b"\x89")
    until_served(served)  # after the grace period of every body
    assert others_are_served(served)


def test_expect_100_continue_is_answered_when_memory_is_short(
    served: Served, attackers: list[socket.socket]
) -> None:
    attack(served, attackers, 6, LARGE_HEAD, bytes(70_000))
    image = image_bytes()
    raw = socket.create_connection(("127.0.0.1", served.port), timeout=20)
    attackers.append(raw)
    raw.sendall(HEAD + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(image))
    assert raw.recv(100).startswith(b"HTTP/1.1 100 ")
    raw.sendall(image)
    assert raw.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_connections_with_unread_responses_are_closed_for_new_ones(
    model_path: Path, attackers: list[socket.socket]
) -> None:
    few = Served(MODEL_DIR=model_path, MAX_CONNECTIONS=8)
    ask = b"GET /docs HTTP/1.1\r\nHost: h\r\n\r\n"
    try:
        for _ in range(11):
            raw = socket.socket()
            attackers.append(raw)
            raw.settimeout(20)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            raw.connect(("127.0.0.1", few.port))
            raw.sendall(ask * 400)  # more than the kernel buffers for one connection
        until_served(few)  # once the kernel's buffers are full
        assert others_are_served(few)
    finally:
        few.kill()


def test_endless_headers_on_many_connections_do_not_block_others(
    served: Served, attackers: list[socket.socket]
) -> None:
    for _ in range(5):
        attack(served, attackers, 10, b"GET / HTTP/1.1\r\n", *[b"X-A: " + b"b" * 1000 + b"\r\n"] * 40)
        assert classify(served) == 200
    assert others_are_served(served)
