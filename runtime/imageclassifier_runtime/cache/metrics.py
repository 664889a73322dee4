"""Metrics of the cache; registered only if the cache is enabled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_PREFIX = "imageclassifier"
HIT, REDIS_HIT, COALESCED, MISS, REDIS_ERROR = RESULTS = ("hit", "redis_hit", "coalesced", "miss", "redis_error")
"""The result of one lookup: found in the process; found in Redis; taken from an identical image in progress; not
found; or not found while Redis was unavailable or returned an invalid value."""

GET, SET = OPERATIONS = ("get", "set")
TIMEOUT, CONNECTION, REFUSED, VALUE, DROPPED = REASONS = ("timeout", "connection", "refused", "value", "dropped")


class CacheMetrics:
    """Each image is counted once in `requests`, so the sum over its label is the number of lookups."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "cache_requests", "Images looked up", ("result",), namespace=_PREFIX, registry=registry
        )
        self.entries = Gauge(
            "cache_entries", "Results in the in-process cache", namespace=_PREFIX, registry=registry
        )
        self.bytes = Gauge("cache_bytes", "Bytes in the in-process cache", namespace=_PREFIX, registry=registry)
        for result in RESULTS:
            self.requests.labels(result)


class RedisMetrics:
    """Failed commands to Redis, and whether commands are sent."""

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
        for operation in OPERATIONS:
            for reason in REASONS:
                self.errors.labels(operation, reason)
