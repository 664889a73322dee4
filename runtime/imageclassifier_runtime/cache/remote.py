"""Caches results in Redis, shared by all pods; a Redis failure delays a response by at most one short deadline."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from imageclassifier_runtime.cache import entry
from imageclassifier_runtime.cache.breaker import CircuitBreaker
from imageclassifier_runtime.cache.metrics import CONNECTION, DROPPED, GET, INVALID_VALUE, REFUSED, SET, TIMEOUT
from imageclassifier_runtime.errors import CacheUnusableError
from imageclassifier_runtime.outbound.certificates import authorities

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from imageclassifier_runtime.cache.metrics import RedisMetrics
    from imageclassifier_runtime.settings.cache import RedisSettings

T = TypeVar("T")

_PREFIX = "imageclassifier:"
# Fewer writes than connections, so that blocked writes leave connections for reads.
_MAX_CONNECTIONS, _MAX_WRITES = 16, 8
# The library's own timeouts in seconds; longer than the largest deadline.
_LIBRARY_TIMEOUT = 2.0
# Event loop iterations for handling a response that arrived while this process was throttled.
_EXTRA_ITERATIONS = 4


class RedisCache:
    """Maps keys to scores; for one event loop."""

    def __init__(self, settings: RedisSettings, *, classes: int, metrics: RedisMetrics) -> None:
        self._ttl = settings.ttl_seconds
        self._deadline = settings.timeout_seconds
        self._classes = classes
        self._metrics = metrics
        self._reads = CircuitBreaker(GET, metrics.available.labels(GET).set)
        # Redis can reject writes while it serves reads: when it is full, or a replica.
        self._writes = CircuitBreaker(SET, metrics.available.labels(SET).set)
        self._write_tasks: set[asyncio.Task[None]] = set()
        self._connect_task: asyncio.Task[None] | None = None
        # The deadline is enforced in `_within_deadline`; these timeouts only clean up abandoned commands.
        self._pool = BlockingConnectionPool.from_url(
            settings.url,
            username=settings.username,
            password=settings.password,
            max_connections=_MAX_CONNECTIONS,
            timeout=_LIBRARY_TIMEOUT,
            socket_connect_timeout=_LIBRARY_TIMEOUT,
            socket_timeout=_LIBRARY_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
            **_tls(settings),
        )
        self._client = Redis.from_pool(self._pool)

    async def get(self, key: bytes) -> bytes | None:
        """Return scores, or None if Redis has none, within the deadline; raises CacheUnusableError."""
        number = self._reads.admit()
        if number is None:
            raise CacheUnusableError("Redis is not used during a pause after failures")
        try:
            # GETRANGE limits the size of the response. One byte more is read, to detect a value that is too long.
            value: object = await self._within_deadline(
                self._client.getrange(_redis_key(key), 0, entry.size(self._classes))
            )
        except asyncio.CancelledError:
            self._reads.abandoned(number)
            raise
        except Exception as error:  # the library may raise anything for invalid bytes: requests must not fail
            if not _is_wrong_type(error):
                self._fail(GET, self._reads, number, error)
                raise CacheUnusableError(type(error).__name__) from error
            value = error  # Redis works, but the value has another type
        self._reads.succeeded(number)
        if value == b"":
            return None
        scores = entry.unpack(key, value, self._classes) if isinstance(value, bytes) else None
        if scores is None:
            self._metrics.errors.labels(GET, INVALID_VALUE).inc()
            raise CacheUnusableError("the value in Redis is not scores of this model")
        return scores

    def put(self, key: bytes, scores: bytes) -> None:
        """Start writing scores in the background; the write is dropped if too many are in progress."""
        if len(self._write_tasks) >= _MAX_WRITES:
            self._metrics.errors.labels(SET, DROPPED).inc()
        elif (number := self._writes.admit()) is not None:
            work = self._set(number, _redis_key(key), entry.pack(key, scores))
            task = asyncio.get_running_loop().create_task(work)
            self._write_tasks.add(task)
            task.add_done_callback(self._write_tasks.discard)

    async def settle(self) -> None:
        """Wait for the writes in progress."""
        await asyncio.gather(*self._write_tasks, return_exceptions=True)

    async def close(self) -> None:
        """Wait for the writes in progress, then close the connections, each within the deadline."""
        await self.settle()
        if self._connect_task is not None:
            self._connect_task.cancel()
            await asyncio.wait({self._connect_task})
        with contextlib.suppress(Exception):  # the server is shutting down
            await asyncio.wait_for(self._client.aclose(close_connection_pool=True), self._deadline)

    async def _set(self, number: int, name: str, value: bytes) -> None:
        try:
            await self._within_deadline(self._client.set(name, value, ex=self._ttl))
        except asyncio.CancelledError:
            self._writes.abandoned(number)
            raise
        except Exception as error:  # noqa: BLE001 - as in `get`
            self._fail(SET, self._writes, number, error)
        else:
            self._writes.succeeded(number)

    def _fail(self, operation: str, breaker: CircuitBreaker, number: int, error: Exception) -> None:
        self._metrics.errors.labels(operation, _reason(error)).inc()
        breaker.failed(number, error)
        if isinstance(error, TimeoutError) and (self._connect_task is None or self._connect_task.done()):
            self._connect_task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        """Open a connection in the background, because TLS and login can take longer than the deadline."""
        with contextlib.suppress(Exception):  # the next command reports the error
            connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
            await self._pool.release(connection)

    async def _within_deadline(self, command: Awaitable[T]) -> T:
        """Return the result of a command; raises TimeoutError after the deadline.

        A process that has used up its CPU quota is paused for tens of milliseconds. A response that arrived
        during the pause is still used, so that the pause does not count as a failure of Redis.
        """
        task = asyncio.ensure_future(command)
        try:
            await asyncio.wait({task}, timeout=self._deadline)
            for _ in range(_EXTRA_ITERATIONS):
                if task.done():
                    break
                await asyncio.sleep(0)
            if not task.done():
                raise TimeoutError
            return task.result()
        finally:
            task.cancel()  # the library closes the connection, so a late response cannot answer another command


def _tls(settings: RedisSettings) -> dict[str, str]:
    """Return the options for TLS; the library adds these certificates to the system's."""
    if settings.ca_dir is None or not settings.url.startswith("rediss:"):
        return {}
    return {"ssl_ca_data": authorities(settings.ca_dir)}


def _redis_key(key: bytes) -> str:
    return _PREFIX + key.hex()


def _is_wrong_type(error: Exception) -> bool:
    return isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError | RedisTimeoutError):
        return TIMEOUT
    if isinstance(error, ResponseError | AuthenticationError | AuthorizationError):
        return REFUSED
    return CONNECTION
