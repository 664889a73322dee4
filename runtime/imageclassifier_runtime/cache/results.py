"""The cache as a request sees it: an outcome by an image's bytes, from wherever it is quickest to have.

    key -> this process -> an equal image under way -> Redis -> the model

Errors are never kept. Equal images that come at once are computed once: the first computes, the others wait for
its scores. Where it comes to none by an error each goes its own way; where its client went away the next one is
the first.
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

# Instead of scores, from one whose client went away.
_LEFT = b""


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """An outcome, and whether it came from the cache."""

    outcome: Outcome
    found: bool


class ResultCache:
    """Everything that is kept by one server; for one event loop."""

    def __init__(self, settings: ServeSettings, classifier: Classifier, registry: CollectorRegistry) -> None:
        self._classifier = classifier
        self._keys = Keys(classifier.model, settings)
        self._memory = MemoryCache(settings.cache.max_bytes)
        self._metrics = CacheMetrics(registry)
        self._remote: RedisCache | None = None
        self._under_way: dict[bytes, asyncio.Future[bytes | None]] = {}
        self._patience = settings.queue_timeout_seconds
        if settings.cache.redis is not None:
            from imageclassifier_runtime.cache.remote import RedisCache  # noqa: PLC0415 - 6 MB that others save

            self._remote = RedisCache(
                settings.cache.redis, classes=classifier.classes, metrics=RedisMetrics(registry)
            )

    async def answer(self, image: Data, count: int, compute: Callable[[], Awaitable[Outcome]]) -> Answer:
        """Return the outcome of an image, by `compute` where it is nowhere; raises what that raises."""
        started = time.perf_counter()
        key = await self._keys.of(image)
        result, scores = names.HIT, self._memory.get(key)
        looked = time.perf_counter() - started
        while not scores and (first := self._under_way.get(key)) is not None:
            # Not awaited itself: a future that is awaited is cancelled with the one who awaits.
            await asyncio.wait([first], timeout=started + self._patience - time.perf_counter())
            result, scores = names.COALESCED, first.result() if first.done() else None
            if scores != _LEFT:
                break
        if scores:
            self._metrics.requests.labels(result).inc()
            return Answer(self._named(scores, count, looked), found=True)
        with self._first(key) as first:
            asked = time.perf_counter()
            result, scores = await self._from_redis(key)
            looked += time.perf_counter() - asked
            self._metrics.requests.labels(result).inc()
            if scores is not None:
                self._keep(key, scores)
                first.set_result(scores)
                return Answer(self._named(scores, count, looked), found=True)
            outcome = await compute()
            scores = np.ascontiguousarray(outcome.scores, "<f4").tobytes()
            self._keep(key, scores)
            first.set_result(scores)
            if self._remote is not None:
                self._remote.put(key, scores)
        seconds, began = {"cache": looked, **outcome.seconds}, {"cache": started, **outcome.began}
        return Answer(dataclasses.replace(outcome, seconds=seconds, began=began), found=False)

    async def settle(self) -> None:
        """Wait until Redis has what was kept so far, or has failed to take it."""
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
    def _first(self, key: bytes) -> Iterator[asyncio.Future[bytes | None]]:
        """Yield what others wait for, unless they wait for another already; it has a result in any case."""
        first: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        mine = self._under_way.setdefault(key, first) is first
        try:
            yield first
        except asyncio.CancelledError:
            if not first.done():
                first.set_result(_LEFT)
            raise
        finally:
            if mine:
                del self._under_way[key]
            if not first.done():
                first.set_result(None)

    def _keep(self, key: bytes, scores: bytes) -> None:
        self._memory.put(key, scores)
        self._metrics.entries.set(len(self._memory))
        self._metrics.bytes.set(self._memory.bytes)

    def _named(self, scores: bytes, count: int, looked: float) -> Outcome:
        """Name the classes as the pipeline does, so that the answer is the same to the last digit."""
        started = time.perf_counter()
        values = np.frombuffer(scores, "<f4")
        predictions = self._classifier.name(values, count)
        seconds = {"cache": looked, "postprocess": time.perf_counter() - started}
        return Outcome(predictions, values, seconds, {"cache": started - looked, "postprocess": started})
