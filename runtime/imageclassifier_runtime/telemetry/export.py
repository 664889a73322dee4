"""Exports ended spans to the receiver in a separate thread: a bounded queue, batches, retries, a bounded shutdown.

Ending a span only appends it to the queue. Every span that is not delivered is counted; the first failure and the
recovery are logged.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import SpanProcessor
from prometheus_client import Counter

from imageclassifier_runtime.logs import log, warn
from imageclassifier_runtime.telemetry.sender import DeliveryError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from prometheus_client import CollectorRegistry

    from imageclassifier_runtime.settings.tracing import TracingSettings
    from imageclassifier_runtime.telemetry.sender import Sender

_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 1.0
_MAX_PAUSE_SECONDS = 30.0
# How long to wait for the thread beyond the deadline of its last attempt.
_JOIN_GRACE_SECONDS = 0.2
_logger = logging.getLogger(__name__)


class ExportMetrics:
    """Counters of exported and dropped spans; created only if tracing is enabled."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.exported = Counter(
            "trace_spans_exported",
            "Spans accepted by the receiver",
            namespace="imageclassifier",
            registry=registry,
        )
        dropped = Counter(
            "trace_spans_dropped",
            "Spans that were dropped or that the receiver rejected",
            ("reason",),
            namespace="imageclassifier",
            registry=registry,
        )
        self.queue_full = dropped.labels("queue-full")
        self.undelivered = dropped.labels("undelivered")
        self.refused = dropped.labels("refused")
        self.shutdown = dropped.labels("shutdown")


class Exporter(SpanProcessor):
    """The queue of ended spans, and the thread that exports them."""

    def __init__(self, settings: TracingSettings, sender: Sender, metrics: ExportMetrics) -> None:
        self._settings = settings
        self._sender = sender
        self._metrics = metrics
        self._queue: deque[ReadableSpan] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._deadline = float("inf")
        self._failing = False
        self._dropping = False
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span, or drop it if the queue is full; never blocks."""
        if self._closing.is_set():
            self._metrics.shutdown.inc()
            return
        if len(self._queue) >= self._settings.max_queue_size:
            self._metrics.queue_full.inc()
            if not self._dropping:
                self._dropping = True
                warn(_logger, "Dropping spans: the queue is full", queue=self._settings.max_queue_size)
            return
        self._queue.append(span)
        if len(self._queue) >= self._settings.max_batch_size:
            self._wake.set()

    def close(self) -> None:
        """Export the queued spans within `flush_seconds`, and drop the rest."""
        self._deadline = time.monotonic() + self._settings.flush_seconds
        self._closing.set()
        self._wake.set()
        self._thread.join(self._settings.flush_seconds + _JOIN_GRACE_SECONDS)
        if self._queue:
            warn(_logger, "Dropped spans at shutdown", spans=len(self._queue))
            self._metrics.shutdown.inc(len(self._queue))

    def shutdown(self) -> None:
        """Close the exporter; the SDK calls it by this name."""
        self.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(self._settings.delay_seconds)
            self._wake.clear()
            self._export_queued()
        self._export_queued()

    def _export_queued(self) -> None:
        """Export batches until the queue is empty or the deadline has passed."""
        while self._queue and time.monotonic() < self._deadline:
            size = min(len(self._queue), self._settings.max_batch_size)
            batch = [self._queue.popleft() for _ in range(size)]
            try:
                self._export(batch)
            except Exception:  # outermost handler of the thread, which must keep running as long as the server
                _logger.exception("Unexpected error in trace export")
                self._metrics.undelivered.inc(len(batch))
        if self._dropping and not self._queue:
            self._dropping = False
            log(_logger, "No longer dropping spans")

    def _export(self, batch: list[ReadableSpan]) -> None:
        body = encode_spans(batch).SerializeToString()
        for attempt in range(_ATTEMPTS):
            seconds = min(self._settings.timeout_seconds, self._deadline - time.monotonic())
            if seconds <= 0:
                break
            try:
                rejected = self._sender.send(body, seconds=seconds)
            except DeliveryError as error:
                self._record_failure(error)
                if not error.retryable or attempt == _ATTEMPTS - 1 or not self._wait_to_retry(attempt, error):
                    break
            else:
                self._record_success(len(batch), rejected)
                return
        self._metrics.undelivered.inc(len(batch))

    def _wait_to_retry(self, attempt: int, error: DeliveryError) -> bool:
        """Wait before the next attempt, or until `close`; returns False without waiting if already closing."""
        if self._closing.is_set():
            return False
        pause = min(_MAX_PAUSE_SECONDS, max(_FIRST_PAUSE_SECONDS * 2**attempt, error.retry_after or 0))
        self._closing.wait(pause * random.uniform(0.75, 1.25))  # noqa: S311 - jitter, not a secret
        return True

    def _record_failure(self, error: DeliveryError) -> None:
        if not self._failing:
            self._failing = True
            warn(_logger, "Trace export failed", endpoint=self._settings.endpoint, cause=str(error))

    def _record_success(self, spans: int, rejected: int) -> None:
        rejected = min(max(rejected, 0), spans)
        self._metrics.exported.inc(spans - rejected)
        if rejected:
            self._metrics.refused.inc(rejected)
        if self._failing:
            self._failing = False
            log(_logger, "Trace export recovered", endpoint=self._settings.endpoint)
