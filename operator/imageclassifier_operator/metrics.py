"""What the operator counts of itself, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """The operator's metrics, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "imageclassifier_operator_reconcile_total",
            "Reconciles by what they came to",
            ["result"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "imageclassifier_operator_reconcile_duration_seconds",
            "Duration of one reconcile",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
            registry=self.registry,
        )
        self.queue_depth = Gauge(
            "imageclassifier_operator_queue_depth", "Objects that wait for a reconcile", registry=self.registry
        )
        self.last_success = Gauge(
            "imageclassifier_operator_last_success_timestamp_seconds",
            "When a reconcile last succeeded",
            registry=self.registry,
        )
        self.watcher_up = Gauge(
            "imageclassifier_operator_watcher_up",
            "Whether the watch of a kind is under way",
            ["resource"],
            registry=self.registry,
        )
