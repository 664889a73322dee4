"""The components of the cache: keys, the size limit, the validation of values, the circuit breaker, settings."""

from __future__ import annotations

import dataclasses
import logging
import os
import struct
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_runtime.cache import entry
from imageclassifier_runtime.cache.breaker import CircuitBreaker
from imageclassifier_runtime.cache.keys import Keys
from imageclassifier_runtime.cache.memory import MemoryCache
from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.model import folder as model_folder
from imageclassifier_runtime.scheduling.memory_budget import Memory, divide
from imageclassifier_runtime.settings.cache import CacheSettings
from imageclassifier_runtime.settings.commands import ServeSettings
from imageclassifier_runtime.settings.fields import MIB

from tests.unit.runtime.cache.requests import redis_value

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(32)
SCORES = struct.pack("<4f", 0.5, -1, 2, 0)


async def test_the_key_depends_on_everything_that_affects_the_scores(model_path: Path) -> None:
    model, settings = model_folder.load(model_path), ServeSettings()
    changed_model: list[dict[str, Any]] = [
        {"info": dataclasses.replace(model.info, graph_sha256="0" * 64)},
        {"info": dataclasses.replace(model.info, precision="INT8")},
        {"preprocessing": dataclasses.replace(model.preprocessing, mean=(0.5, 0.5, 0.5))},
    ]
    others = [
        *(Keys(dataclasses.replace(model, **change), settings) for change in changed_model),
        Keys(model, ServeSettings(max_image_pixels=5000)),
        Keys(model, ServeSettings(max_image_side=5000)),
    ]
    keys = [await each.of(b"image") for each in (Keys(model, settings), *others)]
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {32}


async def test_the_key_depends_on_every_byte_of_the_image(model_path: Path) -> None:
    keys = Keys(model_folder.load(model_path), ServeSettings())
    image = os.urandom(1_500_000)
    key = await keys.of(image)
    assert key == await keys.of(bytearray(image))
    for place in (0, 600_000, len(image) - 1):
        other = bytearray(image)
        other[place] ^= 1
        assert await keys.of(other) != key
    assert await keys.of(image[:-1]) != key


def test_the_least_recently_used_value_is_evicted_first() -> None:
    cache = MemoryCache(0)
    cache.max_bytes = 1 << 20
    cache.put(b"a", b"1")
    cache.max_bytes = 2 * cache.bytes
    cache.put(b"b", b"2")
    assert cache.get(b"a") == b"1"
    cache.put(b"c", b"3")
    assert [cache.get(key) for key in (b"a", b"b", b"c")] == [b"1", None, b"3"]


def test_a_value_over_the_limit_is_not_stored_and_evicts_nothing() -> None:
    cache = MemoryCache(2000)
    cache.put(b"a", b"1")
    cache.put(b"b", bytes(2000))
    assert (cache.get(b"a"), cache.get(b"b"), len(cache)) == (b"1", None, 1)


def test_a_new_value_replaces_the_old_one() -> None:
    cache = MemoryCache(4000)
    cache.put(b"a", bytes(1000))
    before = cache.bytes
    cache.put(b"a", bytes(1000))
    assert (cache.bytes, len(cache)) == (before, 1)
    cache.put(b"a", b"")
    assert cache.bytes == before - 1000


@pytest.mark.parametrize("size", [16, 40, 4000])
def test_the_counted_bytes_are_at_least_the_allocated_ones(size: int) -> None:
    cache = MemoryCache(2 * MIB)
    tracemalloc.start()
    try:
        for number in range(20_000):
            cache.put(number.to_bytes(32, "big"), bytes(size))
            if number % 500 == 0:
                assert tracemalloc.get_traced_memory()[0] <= cache.bytes + 4096
        assert cache.bytes <= cache.max_bytes
        assert cache.bytes > 0.99 * cache.max_bytes
    finally:
        tracemalloc.stop()


def test_a_packed_value_is_accepted() -> None:
    assert entry.pack(KEY, SCORES) == redis_value(SCORES, KEY)
    assert entry.unpack(KEY, entry.pack(KEY, SCORES), 4) == SCORES
    assert len(entry.pack(KEY, SCORES)) == entry.size(4)


@pytest.mark.parametrize(
    "value",
    [
        b'{"predictions": []}',
        redis_value(SCORES, b"another key".ljust(32)),
        redis_value(SCORES, KEY)[:-1],
        redis_value(SCORES, KEY) + b"\0",
        redis_value(SCORES[:12], KEY),
        redis_value(struct.pack("<4f", 0.5, float("nan"), 2, 0), KEY),
        redis_value(struct.pack("<4f", 0.5, float("inf"), 2, 0), KEY),
        b"ICR0" + redis_value(SCORES, KEY)[4:],
        bytes(36),
    ],
)
def test_any_other_value_is_rejected(value: bytes) -> None:
    assert entry.unpack(KEY, value, 4) is None


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def admitted(breaker: CircuitBreaker) -> int:
    number = breaker.admit()
    assert number is not None
    return number


def test_the_breaker_opens_after_consecutive_failures_and_allows_one_trial_at_a_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    clock, changes = Clock(), list[bool]()
    breaker = CircuitBreaker("get", changes.append, clock)
    breaker.failed(admitted(breaker), TimeoutError())
    breaker.failed(admitted(breaker), TimeoutError())
    breaker.succeeded(admitted(breaker))
    for _ in range(3):
        breaker.failed(admitted(breaker), TimeoutError())
    assert breaker.admit() is None
    for pause in (1, 2, 4, 8, 16, 30, 30):
        clock.now += 0.9 * pause
        assert breaker.admit() is None
        clock.now += 0.2 * pause
        trial = admitted(breaker)
        assert breaker.admit() is None
        breaker.failed(trial, TimeoutError())
    clock.now += 40
    breaker.abandoned(admitted(breaker))
    breaker.succeeded(admitted(breaker))
    for _ in range(3):
        admitted(breaker)
    assert changes == [True, False, True]
    assert len(caplog.records) == 2


def test_concurrent_failures_do_not_lengthen_the_pause() -> None:
    clock, changes = Clock(), list[bool]()
    breaker = CircuitBreaker("get", changes.append, clock)
    for question in [admitted(breaker) for _ in range(8)]:
        breaker.failed(question, TimeoutError())
    for pause in (1, 2, 4, 8, 16, 30, 30):
        clock.now += 0.9 * pause
        assert breaker.admit() is None
        clock.now += 0.2 * pause
        breaker.failed(admitted(breaker), TimeoutError())
    assert changes == [True, False]


def test_requests_sent_before_the_breaker_opened_do_not_affect_it() -> None:
    clock, changes = Clock(), list[bool]()
    breaker = CircuitBreaker("get", changes.append, clock)
    old = [admitted(breaker) for _ in range(9)]
    for question in old[:3]:
        breaker.failed(question, TimeoutError())
    breaker.succeeded(old[3])
    assert breaker.admit() is None
    clock.now += 1.1
    trial = admitted(breaker)
    breaker.failed(old[4], TimeoutError())
    breaker.abandoned(old[5])
    breaker.succeeded(old[6])
    assert breaker.admit() is None, "a second request during the trial"
    breaker.succeeded(trial)
    for question in old[7:]:
        breaker.failed(question, TimeoutError())
    for _ in range(2):
        breaker.failed(admitted(breaker), TimeoutError())
    assert breaker.admit() is not None
    assert changes == [True, False, True]


def test_the_memory_of_the_cache_is_subtracted_from_the_pools() -> None:
    memory = Memory(limit=512 * MIB, used=125 * MIB, available=0)
    without = divide(memory, ServeSettings())
    with_cache = divide(memory, ServeSettings(cache=CacheSettings(max_bytes=100 * MIB)))
    assert without.bodies + without.pixels - with_cache.bodies - with_cache.pixels == 100 * MIB


def test_a_cache_that_leaves_too_little_memory_is_rejected() -> None:
    with pytest.raises(SettingsError, match="its cache may take 350 MiB"):
        divide(
            Memory(limit=512 * MIB, used=125 * MIB, available=0),
            ServeSettings(cache=CacheSettings(max_bytes=350 * MIB)),
        )


def _settings(**values: str) -> CacheSettings:
    return ServeSettings.from_env({f"IMAGECLASSIFIER_CACHE_{name}": value for name, value in values.items()}).cache


def test_the_cache_is_off_by_default() -> None:
    assert not _settings().on
    assert _settings(MAX_BYTES="1000") == CacheSettings(max_bytes=1000)


def test_with_redis_the_cache_in_the_process_is_on() -> None:
    settings = _settings(REDIS_URL="redis://cache:6380/2", REDIS_PASSWORD="x y", REDIS_TTL_SECONDS="60")
    assert settings.max_bytes == 16 * MIB
    assert settings.redis is not None
    assert (settings.redis.url, settings.redis.password) == ("redis://cache:6380/2", "x y")
    assert (settings.redis.ttl_seconds, settings.redis.timeout_seconds) == (60, 0.05)
    assert "x y" not in repr(settings)
    assert _settings(REDIS_URL="rediss://[::1]:6380", MAX_BYTES="0").max_bytes == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://cache",
        "unix:///run/redis",
        "cache:6379",
        "redis://",
        "redis://user:hunter2@cache",
        "rediss://cache?ssl_cert_reqs=none",
        "redis://cache/name",
        "redis://ca che",
    ],
)
def test_an_invalid_url_is_rejected_without_showing_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="CACHE_REDIS_URL must be redis") as caught:
        _settings(REDIS_URL=url)
    assert "hunter2" not in str(caught.value)


def test_a_user_without_a_password_is_rejected() -> None:
    with pytest.raises(SettingsError, match="without CACHE_REDIS_PASSWORD"):
        _settings(REDIS_URL="redis://cache", REDIS_USERNAME="pets")
