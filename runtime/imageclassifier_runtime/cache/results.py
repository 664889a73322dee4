"""Looks up the outcome of an image by its bytes, and computes it if it is not cached.

    key -> this process -> an identical image in progress -> Redis -> the model

Errors are not cached. Concurrent requests with identical images are computed once: the first request computes, the
others wait for its scores. If the first fails with an error, each of the others looks up and computes on its own.
If the first is cancelled because its client disconnected, one of the others takes its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from typing import TYPE_CHECKING

import numpy as np

from imageclassifier_runtime.cache import metrics as names
from imageclassifier_runtime.cache.keys import Keys
from imageclassifier_runtime.cache.memory import MemoryCache
from imageclassifier_runtime.cache.metrics import CacheMetrics, RedisMetrics
from imageclassifier_runtime.errors import CacheUnusableError
from imageclassifier_runtime.inference.pipeline import Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from prometheus_client import CollectorRegistry

    from imageclassifier_runtime.cache.remote import RedisCache
    from imageclassifier_runtime.inference.image_headers.base import Data
    from imageclassifier_runtime.inference.pipeline import Classifier
    from imageclassifier_runtime.settings.commands import ServeSettings

# Set instead of scores if the request that computes them is cancelled.
_CANCELLED = b""


@dataclasses.dataclass(frozen=True, slots=True)
class Lookup:
    """An outcome, and whether it came from the cache."""

    outcome: Outcome
    hit: bool


class ResultCache:
    """The caches of one server; for one event loop."""

    def __init__(self, settings: ServeSettings, classifier: Classifier, registry: CollectorRegistry) -> None:
        self._classifier = classifier
        self._keys = Keys(classifier.model, settings)
        self._memory = MemoryCache(settings.cache.max_bytes)
        self._metrics = CacheMetrics(registry)
        self._remote: RedisCache | None = None
        self._in_progress: dict[bytes, asyncio.Future[bytes | None]] = {}
        self._max_wait = settings.queue_timeout_seconds
        if settings.cache.redis is not None:
            from imageclassifier_runtime.cache.remote import RedisCache  # noqa: PLC0415 - takes 6 MB

            self._remote = RedisCache(
                settings.cache.redis, classes=classifier.classes, metrics=RedisMetrics(registry)
            )

    async def get_or_compute(self, image: Data, top_k: int, compute: Callable[[], Awaitable[Outcome]]) -> Lookup:
        """Return the outcome of an image with its `top_k` classes, from `compute` if it is not cached.

        Raises what `compute` raises.
        """
        started = time.perf_counter()
        key = await self._keys.of(image)
        result, scores = names.HIT, self._memory.get(key)
        lookup_seconds = time.perf_counter() - started
        while not scores and (pending := self._in_progress.get(key)) is not None:
            # Not awaited directly: if this task is cancelled, that would cancel the future too.
            await asyncio.wait([pending], timeout=started + self._max_wait - time.perf_counter())
            result, scores = names.COALESCED, pending.result() if pending.done() else None
            if scores != _CANCELLED:
                break
        if scores:
            self._metrics.lookups.labels(result).inc()
            return Lookup(self._outcome(scores, top_k, lookup_seconds), hit=True)
        with self._pending(key) as pending:
            redis_started = time.perf_counter()
            result, scores = await self._from_redis(key)
            lookup_seconds += time.perf_counter() - redis_started
            self._metrics.lookups.labels(result).inc()
            if scores is not None:
                self._store(key, scores)
                pending.set_result(scores)
                return Lookup(self._outcome(scores, top_k, lookup_seconds), hit=True)
            outcome = await compute()
            scores = np.ascontiguousarray(outcome.scores, "<f4").tobytes()
            self._store(key, scores)
            pending.set_result(scores)
            if self._remote is not None:
                self._remote.put(key, scores)
        seconds, began = {"cache": lookup_seconds, **outcome.seconds}, {"cache": started, **outcome.began}
        return Lookup(dataclasses.replace(outcome, seconds=seconds, began=began), hit=False)

    async def settle(self) -> None:
        """Wait until the writes to Redis have succeeded or failed."""
        if self._remote is not None:
            await self._remote.settle()

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._remote is not None:
            await self._remote.close()

    async def _from_redis(self, key: bytes) -> tuple[str, bytes | None]:
        if self._remote is None:
            return names.MISS, None
        try:
            scores = await self._remote.get(key)
        except CacheUnusableError:
            return names.REDIS_ERROR, None
        return (names.MISS if scores is None else names.REDIS_HIT), scores

    @contextlib.contextmanager
    def _pending(self, key: bytes) -> Iterator[asyncio.Future[bytes | None]]:
        """Yield a future for the scores, on which requests with an identical image wait.

        If another request has registered a future for this image already, they wait on that one. The future always
        gets a result: None if the block fails, _CANCELLED if it is cancelled.
        """
        pending: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        registered = self._in_progress.setdefault(key, pending) is pending
        try:
            yield pending
        except asyncio.CancelledError:
            if not pending.done():
                pending.set_result(_CANCELLED)
            raise
        finally:
            if registered:
                del self._in_progress[key]
            if not pending.done():
                pending.set_result(None)

    def _store(self, key: bytes, scores: bytes) -> None:
        self._memory.put(key, scores)
        self._metrics.entries.set(len(self._memory))
        self._metrics.bytes.set(self._memory.bytes)

    def _outcome(self, scores: bytes, top_k: int, lookup_seconds: float) -> Outcome:
        """Return the outcome for cached scores; its classes come from the same code as without a cache."""
        started = time.perf_counter()
        values = np.frombuffer(scores, "<f4")
        predictions = self._classifier.top_classes(values, top_k)
        seconds = {"cache": lookup_seconds, "postprocess": time.perf_counter() - started}
        return Outcome(predictions, values, seconds, {"cache": started - lookup_seconds, "postprocess": started})
