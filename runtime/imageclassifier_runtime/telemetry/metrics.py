"""The Prometheus metrics, in a registry of their own so that two servers can live in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.process_collector import ProcessCollector

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "imageclassifier"
# The time at which each series began doubles the page and serves nobody here.
disable_created_metrics()  # type: ignore[no-untyped-call]
_REQUEST_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0)
_STAGE_BUCKETS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0)
_BATCH_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


class Metrics:
    """Every metric of the server; labels are bounded: no value of them comes from a client."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "requests", "Answered requests", ("protocol", "code"), namespace=_PREFIX, registry=registry
        )
        self.duration = Histogram(
            "request_duration_seconds",
            "From the request's headers to its answer",
            ("protocol",),
            namespace=_PREFIX,
            registry=registry,
            buckets=_REQUEST_BUCKETS,
        )
        self.stages = Histogram(
            "stage_duration_seconds",
            "Time in one stage of a classification",
            ("stage",),
            namespace=_PREFIX,
            registry=registry,
            buckets=_STAGE_BUCKETS,
        )
        self.batch_size = Histogram(
            "batch_size",
            "Inputs in one inference; counted with batching only",
            namespace=_PREFIX,
            registry=registry,
            buckets=_BATCH_BUCKETS,
        )
        self.queue_depth = Gauge(
            "queue_depth",
            "Requests that wait for room, for a worker or in a batch",
            namespace=_PREFIX,
            registry=registry,
        )
        self.in_flight = Gauge("in_flight_requests", "Requests in a worker", namespace=_PREFIX, registry=registry)
        self.rejected = Counter("rejected", "Requests refused", ("reason",), namespace=_PREFIX, registry=registry)
        self.model = Gauge(
            "model_info",
            "The served model; always 1",
            ("name", "sha256", "precision"),
            namespace=_PREFIX,
            registry=registry,
        )
        ProcessCollector(registry=registry)

    def watch(self, *, waiting: Callable[[], int], running: Callable[[], int]) -> None:
        """Take the two gauges from what counts already, when they are asked for."""
        self.queue_depth.set_function(waiting)
        self.in_flight.set_function(running)

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
