"""Results in Redis, for all pods of a fleet: whatever Redis does, an answer is late by one short deadline."""

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
from imageclassifier_runtime.cache.breaker import Breaker
from imageclassifier_runtime.cache.metrics import CONNECTION, DROPPED, GET, REFUSED, SET, TIMEOUT, VALUE
from imageclassifier_runtime.errors import CacheUnusableError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from imageclassifier_runtime.cache.metrics import RedisMetrics
    from imageclassifier_runtime.settings.cache import RedisSettings

T = TypeVar("T")

_PREFIX = "imageclassifier:"
# Fewer writes than connections: those that hang leave some for questions.
_CONNECTIONS, _WRITES = 16, 8
# Seconds; longer than the deadline may be.
_GIVEN_UP = 2.0
# How many turns of the event loop an answer may still take that came in while this process was held up.
_TURNS = 4


class RedisCache:
    """Scores by key; for one event loop."""

    def __init__(self, settings: RedisSettings, *, classes: int, metrics: RedisMetrics) -> None:
        self._ttl = settings.ttl_seconds
        self._deadline = settings.timeout_seconds
        self._classes = classes
        self._metrics = metrics
        self._reads = Breaker(GET, metrics.available.labels(GET).set)
        # Redis can refuse writes and answer questions: when it is full, or a replica.
        self._writes = Breaker(SET, metrics.available.labels(SET).set)
        self._writing: set[asyncio.Task[None]] = set()
        self._connecting: asyncio.Task[None] | None = None
        # The deadline is ours; the pool's own times only end what we have given up.
        self._pool = BlockingConnectionPool.from_url(
            settings.url,
            username=settings.username,
            password=settings.password,
            max_connections=_CONNECTIONS,
            timeout=_GIVEN_UP,
            socket_connect_timeout=_GIVEN_UP,
            socket_timeout=_GIVEN_UP,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
        )
        self._client = Redis.from_pool(self._pool)

    async def get(self, key: bytes) -> bytes | None:
        """Return scores, or None where Redis has none; raises CacheUnusableError, within the deadline."""
        number = self._reads.admit()
        if number is None:
            raise CacheUnusableError("Redis is left alone after failures")
        try:
            # GETRANGE bounds what comes, whatever lies there; one byte more than is right shows what is too long.
            value: object = await self._timely(self._client.getrange(_name(key), 0, entry.size(self._classes)))
        except asyncio.CancelledError:
            self._reads.abandoned(number)
            raise
        except Exception as error:  # whatever the library makes of a server's bytes: no answer fails for it
            if not _is_of_other_type(error):
                self._fail(GET, self._reads, number, error)
                raise CacheUnusableError(type(error).__name__) from error
            value = error  # Redis is well, what lies there is not ours
        self._reads.succeeded(number)
        if value == b"":
            return None
        scores = entry.unpack(key, value, self._classes) if isinstance(value, bytes) else None
        if scores is None:
            self._metrics.errors.labels(GET, VALUE).inc()
            raise CacheUnusableError("what lies in Redis is not scores of this model")
        return scores

    def put(self, key: bytes, scores: bytes) -> None:
        """Begin to write, beside the answer; where too many writes are under way, this one is left out."""
        if len(self._writing) >= _WRITES:
            self._metrics.errors.labels(SET, DROPPED).inc()
        elif (number := self._writes.admit()) is not None:
            work = self._set(number, _name(key), entry.pack(key, scores))
            task = asyncio.get_running_loop().create_task(work)
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def settle(self) -> None:
        """Wait for the writes under way."""
        await asyncio.gather(*self._writing, return_exceptions=True)

    async def close(self) -> None:
        """Wait for the writes under way, and close the connections: each for no longer than the deadline."""
        await self.settle()
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait({self._connecting})
        with contextlib.suppress(Exception):  # of what is left anyway
            await asyncio.wait_for(self._client.aclose(close_connection_pool=True), self._deadline)

    async def _set(self, number: int, name: str, value: bytes) -> None:
        try:
            await self._timely(self._client.set(name, value, ex=self._ttl))
        except asyncio.CancelledError:
            self._writes.abandoned(number)
            raise
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(SET, self._writes, number, error)
        else:
            self._writes.succeeded(number)

    def _fail(self, operation: str, breaker: Breaker, number: int, error: Exception) -> None:
        self._metrics.errors.labels(operation, _reason(error)).inc()
        breaker.failed(number, error)
        if isinstance(error, TimeoutError) and (self._connecting is None or self._connecting.done()):
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        """Have a connection ready, however long that takes: TLS and login can take longer than a question may."""
        with contextlib.suppress(Exception):  # it is only tried: the next question will tell what is wrong
            connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
            await self._pool.release(connection)

    async def _timely(self, work: Awaitable[T]) -> T:
        """Return what Redis says; raises TimeoutError after the deadline.

        A process whose CPU quota is used up stands still for tens of milliseconds. What came in meanwhile is still
        taken, so that our own lateness does not count as Redis's.
        """
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task}, timeout=self._deadline)
            for _ in range(_TURNS):
                if task.done():
                    break
                await asyncio.sleep(0)
            if not task.done():
                raise TimeoutError
            return task.result()
        finally:
            task.cancel()  # the library closes the connection, so that no late answer is taken for another's


def _name(key: bytes) -> str:
    return _PREFIX + key.hex()


def _is_of_other_type(error: Exception) -> bool:
    return isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError | RedisTimeoutError):
        return TIMEOUT
    if isinstance(error, ResponseError | AuthenticationError | AuthorizationError):
        return REFUSED
    return CONNECTION
