"""Metrics of the cache: those of the results if the cache is enabled, and those of Redis if it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_PREFIX = "imageclassifier"

# Values of the label `result` of `cache_requests`: where the scores of an image were found.
HIT = "hit"  # in this process
REDIS_HIT = "redis_hit"  # in Redis
COALESCED = "coalesced"  # computed at the same time by another request, for an identical image
MISS = "miss"  # nowhere
REDIS_ERROR = "redis_error"  # not in this process, and Redis was unavailable or returned an invalid value
RESULTS = (HIT, REDIS_HIT, COALESCED, MISS, REDIS_ERROR)

# Values of the label `operation` of the metrics of Redis.
GET = "get"
SET = "set"
OPERATIONS = (GET, SET)

# Values of the label `reason` of `cache_redis_errors`.
TIMEOUT = "timeout"  # no response within the timeout
CONNECTION = "connection"  # any other failure, such as a closed connection
REFUSED = "refused"  # an error response from Redis, such as for a wrong password, or because its memory is full
INVALID_VALUE = "value"  # a value that is not scores of this model
DROPPED = "dropped"  # not sent, because too many writes were in progress
REASONS = (TIMEOUT, CONNECTION, REFUSED, INVALID_VALUE, DROPPED)


class CacheMetrics:
    """Lookups by result, and the size of the cache in this process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Each image is counted once, so the sum over all results is the number of lookups.
        self.lookups = Counter(
            "cache_requests", "Images looked up", ("result",), namespace=_PREFIX, registry=registry
        )
        self.entries = Gauge(
            "cache_entries", "Results in the in-process cache", namespace=_PREFIX, registry=registry
        )
        self.bytes = Gauge("cache_bytes", "Bytes in the in-process cache", namespace=_PREFIX, registry=registry)
        # Export every series from the start, with the value 0.
        for result in RESULTS:
            self.lookups.labels(result)


class RedisMetrics:
    """Failed commands by operation and reason, and whether commands are sent."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.errors = Counter(
            "cache_redis_errors",
            "Commands to Redis that failed, were dropped, or returned an invalid value",
            ("operation", "reason"),
            namespace=_PREFIX,
            registry=registry,
        )
        self.available = Gauge(
            "cache_redis_available",
            "1 while commands are sent to Redis, 0 during a pause after failures",
            ("operation",),
            namespace=_PREFIX,
            registry=registry,
        )
        # Export every series from the start, with the value 0.
        for operation in OPERATIONS:
            for reason in REASONS:
                self.errors.labels(operation, reason)
