"""Metrics of the cache, registered only if it is enabled; those of Redis, only if Redis is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_PREFIX = "imageclassifier"

# Values of the label `result` of `cache_requests`: where the scores of an image were found.
HIT = "hit"  # in this process
REDIS_HIT = "redis_hit"  # in Redis
COALESCED = "coalesced"  # in another request with an identical image, which computed them at the same time
MISS = "miss"  # nowhere
REDIS_ERROR = "redis_error"  # not in this process, and Redis was unavailable or returned an invalid value
RESULTS = (HIT, REDIS_HIT, COALESCED, MISS, REDIS_ERROR)

# Values of the label `operation` of the metrics of Redis.
GET = "get"
SET = "set"
OPERATIONS = (GET, SET)

# Values of the label `reason` of `cache_redis_errors`.
TIMEOUT = "timeout"  # Redis did not respond in time
CONNECTION = "connection"  # the connection failed; also any other failure that is not listed here
REFUSED = "refused"  # Redis returned an error, for example because the password is wrong or its memory is full
INVALID_VALUE = "value"  # Redis returned a value that does not contain scores of this model
DROPPED = "dropped"  # the command was not sent, because too many writes were in progress
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
