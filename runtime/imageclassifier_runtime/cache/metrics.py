"""The cache's metrics; registered only where the cache is on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_PREFIX = "imageclassifier"
HIT, REDIS_HIT, COALESCED, MISS, REDIS_ERROR = RESULTS = ("hit", "redis_hit", "coalesced", "miss", "redis_error")
"""What became of one image: found in the process; in Redis; in the answer to an equal image that was under way;
found nowhere; or found nowhere while Redis could not be asked or gave what cannot be believed."""

GET, SET = OPERATIONS = ("get", "set")
TIMEOUT, CONNECTION, REFUSED, VALUE, DROPPED = REASONS = ("timeout", "connection", "refused", "value", "dropped")


class CacheMetrics:
    """Each image is one of `requests`, so their sum is what was looked up."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "cache_requests", "Images looked up", ("result",), namespace=_PREFIX, registry=registry
        )
        self.entries = Gauge("cache_entries", "Results in the process", namespace=_PREFIX, registry=registry)
        self.bytes = Gauge("cache_bytes", "What they take", namespace=_PREFIX, registry=registry)
        for result in RESULTS:
            self.requests.labels(result)


class RedisMetrics:
    """What Redis failed in, each time, and whether it is asked."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.errors = Counter(
            "cache_redis_errors",
            "Questions to Redis without a good answer",
            ("operation", "reason"),
            namespace=_PREFIX,
            registry=registry,
        )
        self.available = Gauge(
            "cache_redis_available",
            "1 while Redis is asked, 0 while it is left alone after failures",
            ("operation",),
            namespace=_PREFIX,
            registry=registry,
        )
        for operation in OPERATIONS:
            for reason in REASONS:
                self.errors.labels(operation, reason)
