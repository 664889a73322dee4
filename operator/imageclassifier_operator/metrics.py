"""The operator's own metrics, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from imageclassifier_operator.object_metrics import ObjectMetrics


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
            "Duration of one reconcile by result",
            ["result"],
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
            registry=self.registry,
        )
        self.queue_depth = Gauge(
            "imageclassifier_operator_queue_depth", "Objects waiting for a reconcile", registry=self.registry
        )
        self.queue_wait = Histogram(
            "imageclassifier_operator_queue_wait_seconds",
            "Time between an object is due and its reconcile begins",
            buckets=(0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0),
            registry=self.registry,
        )
        self.retries = Counter(
            "imageclassifier_operator_retries_total",
            "Reconciles that are repeated because of an error, a conflict, or a change in two steps",
            registry=self.registry,
        )
        self.api_requests = Counter(
            "imageclassifier_operator_api_requests_total",
            "Requests to the API server, without those of kopf, by HTTP method and status code (or <error>)",
            ["method", "code"],
            registry=self.registry,
        )
        self.leader = Gauge(
            "imageclassifier_operator_leader",
            "Whether this process reconciles: of several, the one that holds the Lease",
            registry=self.registry,
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
            "Whether the watch of a kind, in one namespace or in all, is running",
            ["resource", "watched_namespace"],
            registry=self.registry,
        )
        self.watcher_last_event = Gauge(
            "imageclassifier_operator_watcher_last_event_timestamp_seconds",
            "Time of the last event or bookmark of the watch of a kind, in one namespace or in all",
            ["resource", "watched_namespace"],
            registry=self.registry,
        )
        self.objects = ObjectMetrics()
        self.registry.register(self.objects)
