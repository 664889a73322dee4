"""Results in a real Redis are shared by servers, and no failure of Redis affects a response."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_runtime.cache import breaker
from imageclassifier_runtime.cache.keys import Keys
from imageclassifier_runtime.settings.cache import CacheSettings, RedisSettings
from redis.asyncio import Redis

from tests.unit.runtime.cache.redis_server import RedisServer, free_port
from tests.unit.runtime.cache.requests import content_of, lookups, metric, raw
from tests.unit.runtime.certificates import issue_certificate
from tests.unit.runtime.process import Served
from tests.unit.runtime.support import Running, image_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

PHOTO = image_bytes("#c04020", "JPEG", (90, 70))
# Long enough for a busy machine: no test waits for this deadline itself.
DEADLINE = 2.0
SHORT = 0.05


def pictures(count: int) -> list[bytes]:
    return [image_bytes(f"#{20 * number:02x}c0{255 - 20 * number:02x}") for number in range(count)]


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.kill()


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Redis]:
    redis_server.start()
    async with Redis.from_url(redis_server.url, socket_timeout=60) as client:
        yield client


@pytest.fixture
def make_cached(make_server: Callable[..., Running]) -> Callable[..., Running]:
    def make(url: str, *, timeout_seconds: float = DEADLINE, max_bytes: int = 0, **redis: Any) -> Running:
        settings = RedisSettings(url=url, timeout_seconds=timeout_seconds, **redis)
        return make_server(cache=CacheSettings(max_bytes=max_bytes, redis=settings))

    return make


@pytest.fixture
def long_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not retry a failed Redis during a test."""
    monkeypatch.setattr(breaker, "_FIRST_PAUSE", 600.0)


async def settled(server: Running) -> None:
    """Wait for pending writes."""
    assert server.state.cache is not None
    await server.state.cache.settle()


async def written(client: Redis, count: int = 1) -> None:
    """Wait until that many results are in Redis: they are written in the background."""
    end = time.monotonic() + 60
    while await client.dbsize() < count:
        assert time.monotonic() < end, "nothing was written"
        await asyncio.sleep(0.02)


def available(server: Running, operation: str = "get") -> bool:
    return metric(server, "cache_redis_available", operation=operation) == 1


def errors(server: Running, operation: str, reason: str) -> int:
    return int(metric(server, "cache_redis_errors_total", operation=operation, reason=reason) or 0)


async def test_a_result_of_one_server_is_a_hit_in_another(
    client: Redis, redis_server: RedisServer, make_cached: Callable[..., Running], server: Running
) -> None:
    one = make_cached(redis_server.url, ttl_seconds=500)
    other = make_cached(redis_server.url, max_bytes=1 << 20)
    assert (await raw(one, PHOTO)).headers["x-cache"] == "miss"
    await written(client)
    answers = [await raw(other, PHOTO) for _ in range(2)]
    assert [answer.headers["x-cache"] for answer in answers] == ["hit", "hit"]
    assert lookups(one) == {"miss": 1}
    assert lookups(other) == {"redis_hit": 1, "hit": 1}
    assert content_of(answers[0]) == content_of(answers[1]) == content_of(await raw(server, PHOTO))
    (key,) = await client.keys()
    assert 400 < await client.ttl(key) <= 500


async def test_a_server_with_stricter_limits_rejects_an_image_that_another_accepted(
    client: Redis,
    redis_server: RedisServer,
    make_cached: Callable[..., Running],
    make_server: Callable[..., Running],
) -> None:
    await raw(make_cached(redis_server.url), PHOTO)
    await written(client)
    redis = RedisSettings(url=redis_server.url, timeout_seconds=DEADLINE)
    strict = make_server(max_image_pixels=2000, cache=CacheSettings(redis=redis))
    assert (await raw(strict, PHOTO)).status_code == 413


@pytest.mark.usefixtures("long_pause")
async def test_an_unreachable_redis_does_not_affect_responses(
    redis_server: RedisServer, make_cached: Callable[..., Running], server: Running
) -> None:
    redis_server.start()
    redis_server.kill()
    cached = make_cached(redis_server.url)
    for picture in pictures(6):
        assert content_of(await raw(cached, picture)) == content_of(await raw(server, picture))
    assert lookups(cached) == {"redis_error": 6}
    assert errors(cached, "get", "connection") == 3  # then it is not contacted
    assert not available(cached)


async def test_a_restarted_redis_is_used_again(
    redis_server: RedisServer, make_cached: Callable[..., Running], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "imageclassifier_runtime.cache")
    cached = make_cached(redis_server.start().url)
    assert (await raw(cached, PHOTO)).status_code == 200
    redis_server.kill()
    for picture in pictures(6):
        assert (await raw(cached, picture)).status_code == 200
    assert not available(cached)
    redis_server.start()
    end = time.monotonic() + 60
    while not available(cached):
        assert time.monotonic() < end
        assert (await raw(cached, PHOTO)).status_code == 200
        await asyncio.sleep(0.05)
    said = [
        record.getMessage() for record in caplog.records if getattr(record, "fields", {}).get("operation") == "get"
    ]
    assert said == ["Redis unavailable, continuing without it", "Redis recovered"]


@pytest.mark.usefixtures("long_pause")
async def test_a_paused_redis_is_awaited_only_until_the_timeout_and_then_not_contacted(
    redis_server: RedisServer, make_cached: Callable[..., Running], server: Running
) -> None:
    cached = make_cached(redis_server.start().url, timeout_seconds=SHORT)
    redis_server.pause()
    for picture in pictures(8):
        assert content_of(await raw(cached, picture)) == content_of(await raw(server, picture))
    assert errors(cached, "get", "timeout") == 3  # then it is not contacted
    assert lookups(cached) == {"redis_error": 8}
    redis_server.resume()


async def test_a_late_reply_is_not_mistaken_for_that_to_another_request(
    redis_server: RedisServer, make_cached: Callable[..., Running], server: Running
) -> None:
    one = make_cached(redis_server.start().url)
    images = pictures(4)
    expected = [content_of(await raw(server, image)) for image in images]
    for image in images:
        await raw(one, image)
    late = make_cached(redis_server.url, timeout_seconds=SHORT)
    redis_server.pause()
    assert content_of(await raw(late, images[0])) == expected[0]
    redis_server.resume()
    for _ in range(3):
        assert [content_of(await raw(late, image)) for image in images] == expected


async def test_a_login_slower_than_the_timeout_completes_in_the_background(
    redis_server: RedisServer, make_cached: Callable[..., Running]
) -> None:
    redis_server.start("--requirepass", "hunter2")
    direct = make_cached(redis_server.url, password="hunter2")
    await raw(direct, PHOTO)
    await settled(direct)

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    connections = set[asyncio.Task[Any] | None]()

    async def slow_proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())
        await asyncio.sleep(0.8)
        to_redis = await asyncio.open_connection("127.0.0.1", redis_server.port)
        await asyncio.gather(pipe(reader, to_redis[1]), pipe(to_redis[0], writer))

    async with await asyncio.start_server(slow_proxy, "127.0.0.1", 0) as proxy:
        url = f"redis://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        delayed = make_cached(url, timeout_seconds=0.4, password="hunter2")
        end = time.monotonic() + 60
        while (await raw(delayed, PHOTO)).headers["x-cache"] != "hit":
            assert time.monotonic() < end, lookups(delayed)
            await asyncio.sleep(0.05)
        assert errors(delayed, "get", "timeout") >= 1
        assert delayed.state.cache is not None
        await delayed.state.cache.close()
        await asyncio.gather(*filter(None, connections))


@pytest.mark.usefixtures("long_pause")
@pytest.mark.parametrize("password", [None, "wrong"], ids=["no password", "a wrong password"])
async def test_a_rejected_password_does_not_affect_responses_and_is_not_logged(
    redis_server: RedisServer,
    make_cached: Callable[..., Running],
    caplog: pytest.LogCaptureFixture,
    password: str | None,
) -> None:
    caplog.set_level(logging.DEBUG)
    redis_server.start("--requirepass", "hunter2")
    cached = make_cached(redis_server.url, password=password)
    for picture in pictures(5):
        assert (await raw(cached, picture)).status_code == 200
    assert errors(cached, "get", "refused") == 3
    assert not available(cached)
    assert not [record for record in caplog.records if "wrong" in record.getMessage() + str(vars(record))]


async def test_the_correct_password_is_accepted(
    redis_server: RedisServer, make_cached: Callable[..., Running]
) -> None:
    redis_server.start("--requirepass", "hunter2")
    for result in ("miss", "redis_hit"):
        cached = make_cached(redis_server.url, password="hunter2")
        assert (await raw(cached, PHOTO)).status_code == 200
        assert lookups(cached) == {result: 1}
        await settled(cached)


_INVALID_VALUES: dict[str, Callable[[Redis, str, bytes], Any]] = {
    "text": lambda client, key, _: client.set(key, '{"predictions": [{"class_id": 1}]}'),
    "cut": lambda client, key, right: client.set(key, right[:-4]),
    "longer": lambda client, key, right: client.set(key, right + b"\0"),
    "changed": lambda client, key, right: client.set(key, right[:-1] + bytes([right[-1] ^ 1])),
    "huge": lambda client, key, _: client.setrange(key, 16 << 20, "x"),
    "a list": lambda client, key, _: client.rpush(key, "x"),
    "another image's": lambda client, key, _: client.copy("another", key, replace=True),
}


@pytest.mark.parametrize("kind", _INVALID_VALUES)
async def test_an_invalid_value_is_ignored_and_replaced(
    kind: str,
    client: Redis,
    redis_server: RedisServer,
    make_cached: Callable[..., Running],
    server: Running,
) -> None:
    await raw(make_cached(redis_server.url), image_bytes("blue"))
    await written(client)
    (other,) = await client.keys()
    await client.rename(other, "another")
    cached = make_cached(redis_server.url)
    key = "imageclassifier:" + (await Keys(server.state.classifier.model, server.state.settings).of(PHOTO)).hex()
    await raw(cached, PHOTO)
    await written(client, 2)
    right = await client.get(key)
    assert isinstance(right, bytes)
    if kind == "a list":
        await client.delete(key)
    await _INVALID_VALUES[kind](client, key, right)
    answer = await raw(cached, PHOTO)
    assert answer.headers["x-cache"] == "miss"
    assert content_of(answer) == content_of(await raw(server, PHOTO))
    assert lookups(cached) == {"miss": 1, "redis_error": 1}
    assert errors(cached, "get", "value") == 1
    assert available(cached)
    await settled(cached)
    assert await client.get(key) == right


@pytest.mark.usefixtures("long_pause")
async def test_a_full_redis_is_still_read(
    client: Redis, redis_server: RedisServer, make_cached: Callable[..., Running]
) -> None:
    cached = make_cached(redis_server.url)
    await raw(cached, PHOTO)
    await written(client)
    await client.config_set("maxmemory", "1")
    for picture in pictures(5):
        assert (await raw(cached, picture)).headers["x-cache"] == "miss"
        await settled(cached)
    assert (await raw(cached, PHOTO)).headers["x-cache"] == "hit"
    assert errors(cached, "set", "refused") == 3
    assert available(cached)
    assert not available(cached, "set")


_REPLIES = {
    "nothing, and closes": b"",
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a number": b":1\r\n" * 10,
    "a long line": b"+" + b"x" * 1_000_000,
    "a value that never ends": b"$9999999999\r\n" + b"x" * 1_000_000,
    "a nested list": b"*1\r\n" * 10_000,
    "other bytes": bytes(range(256)) * 100,
}


@pytest.mark.parametrize("reply", _REPLIES)
async def test_a_server_that_is_not_redis_does_not_affect_responses(
    reply: str, make_cached: Callable[..., Running], server: Running
) -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(_REPLIES[reply])
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        cached = make_cached(f"redis://127.0.0.1:{port}", timeout_seconds=0.3)
        for picture in pictures(5):
            assert content_of(await raw(cached, picture)) == content_of(await raw(server, picture))
        assert lookups(cached) == {"redis_error": 5}
        assert cached.state.cache is not None
        await cached.state.cache.close()


def test_the_process_responds_with_redis_and_without(redis_server: RedisServer, model_path: Path) -> None:
    redis_server.start("--requirepass", "hunter2")
    served = Served(
        MODEL_DIR=model_path, CACHE_REDIS_URL=redis_server.url, CACHE_REDIS_PASSWORD="hunter2", DRAIN_SECONDS=0
    )
    connection = served.connect()

    def classify(image: bytes) -> tuple[int, str | None]:
        connection.request("POST", "/api/v1/classify", image, {"Content-Type": "application/octet-stream"})
        response = connection.getresponse()
        response.read()
        return response.status, response.getheader("x-cache")

    try:
        assert classify(PHOTO) == (200, "miss")
        assert classify(PHOTO) == (200, "hit")
        redis_server.kill()
        assert [classify(picture) for picture in pictures(5)] == [(200, "miss")] * 5
        assert classify(PHOTO) == (200, "hit")
        connection.close()
        served.process.terminate()
        assert served.end() == 0
    finally:
        served.kill()


async def test_the_shutdown_waits_for_pending_writes_to_a_slow_redis(
    client: Redis, redis_server: RedisServer, model_path: Path
) -> None:
    served = Served(
        MODEL_DIR=model_path,
        CACHE_REDIS_URL=redis_server.url,
        CACHE_REDIS_TIMEOUT_MILLISECONDS=1000,
        DRAIN_SECONDS=0,
    )
    try:
        await client.client_pause(600, all=False)  # holds writes only
        connection = served.connect()
        connection.request("POST", "/api/v1/classify", PHOTO, {"Content-Type": "application/octet-stream"})
        assert connection.getresponse().read()
        connection.close()
        served.process.terminate()
        assert served.end() == 0
        assert await client.dbsize() == 1
    finally:
        served.kill()


async def test_the_shutdown_does_not_wait_for_a_paused_redis(
    redis_server: RedisServer, make_cached: Callable[..., Running]
) -> None:
    cached = make_cached(redis_server.start().url, timeout_seconds=SHORT)
    assert cached.state.cache is not None
    await raw(cached, PHOTO)
    redis_server.pause()
    for picture in pictures(3):
        await raw(cached, picture)
    start = time.monotonic()
    await cached.state.cache.close()
    assert time.monotonic() - start < 1


async def test_a_redis_of_a_private_ca_is_used_with_the_folder_of_the_ca(
    redis_server: RedisServer, make_cached: Callable[..., Running], tmp_path: Path
) -> None:
    ca_dir, _ = issue_certificate(tmp_path, "127.0.0.1")
    certificate = tmp_path / "authority" / "server.crt"
    redis_server.port = free_port()
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(certificate.with_suffix(".key")))
    options = ("--port", "0", "--tls-port", str(redis_server.port), "--tls-auth-clients", "no")
    redis_server.start(*options, *files, "--tls-ca-cert-file", str(ca_dir / "ca.crt"))
    url = redis_server.url.replace("redis:", "rediss:")
    untrusting = make_cached(url)
    assert (await raw(untrusting, PHOTO)).status_code == 200
    assert lookups(untrusting) == {"redis_error": 1}
    one, other = make_cached(url, ca_dir=ca_dir), make_cached(url, ca_dir=ca_dir)
    assert (await raw(one, PHOTO)).headers["x-cache"] == "miss"
    await settled(one)
    assert (await raw(other, PHOTO)).headers["x-cache"] == "hit"
