"""The operator's own metrics, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """The operator's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "imageclassifier_operator_reconcile_total",
            "Reconciles by result",
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
            "imageclassifier_operator_queue_depth", "Objects waiting for a reconcile", registry=self.registry
        )
        self.last_success = Gauge(
            "imageclassifier_operator_last_success_timestamp_seconds",
            "Time of the last successful reconcile",
            registry=self.registry,
        )
        self.upgrade_waiting = Gauge(
            "imageclassifier_operator_upgrade_waiting",
            "Objects that wait for their turn to adopt a new revision",
            registry=self.registry,
        )
        self.upgrade_running = Gauge(
            "imageclassifier_operator_upgrade_running",
            "Objects that have adopted a new revision and are not Ready with it yet",
            registry=self.registry,
        )
        self.upgrade_stopped = Gauge(
            "imageclassifier_operator_upgrade_stopped",
            "Whether the upgrade has stopped, because an object did not become Ready with its new revision",
            registry=self.registry,
        )
        self.watcher_up = Gauge(
            "imageclassifier_operator_watcher_up",
            "Whether the watch of a kind is running",
            ["resource"],
            registry=self.registry,
        )
