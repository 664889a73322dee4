"""The Prometheus metrics, in a separate registry, so that one process can run several servers."""

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
# The creation time of each series would double the size of the response, and is not used.
disable_created_metrics()  # type: ignore[no-untyped-call]
_REQUEST_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0)
_STAGE_BUCKETS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0)
_BATCH_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


class Metrics:
    """The metrics of the server; no label value comes from a client, so the number of series is bounded."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "requests", "Completed requests", ("protocol", "code"), namespace=_PREFIX, registry=registry
        )
        self.duration = Histogram(
            "request_duration_seconds",
            "Seconds from the headers of a request to the end of its response",
            ("protocol",),
            namespace=_PREFIX,
            registry=registry,
            buckets=_REQUEST_BUCKETS,
        )
        self.stages = Histogram(
            "stage_duration_seconds",
            "Duration of one stage of a classification in seconds",
            ("stage",),
            namespace=_PREFIX,
            registry=registry,
            buckets=_STAGE_BUCKETS,
        )
        self.batch_size = Histogram(
            "batch_size",
            "Inputs per inference; recorded only if batching is enabled",
            namespace=_PREFIX,
            registry=registry,
            buckets=_BATCH_BUCKETS,
        )
        self.queue_depth = Gauge(
            "queue_depth",
            "Requests waiting for memory, for a worker, or in a batch",
            namespace=_PREFIX,
            registry=registry,
        )
        self.in_flight = Gauge(
            "in_flight_requests", "Requests processed by a worker", namespace=_PREFIX, registry=registry
        )
        self.rejected = Counter("rejected", "Rejected requests", ("reason",), namespace=_PREFIX, registry=registry)
        self.model = Gauge(
            "model_info",
            "The served model; always 1",
            ("name", "sha256", "precision"),
            namespace=_PREFIX,
            registry=registry,
        )
        ProcessCollector(registry=registry)

    def read_queue_with(self, *, waiting: Callable[[], int], running: Callable[[], int]) -> None:
        """Call these functions for the gauges of waiting and running requests whenever metrics are scraped."""
        self.queue_depth.set_function(waiting)
        self.in_flight.set_function(running)

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
