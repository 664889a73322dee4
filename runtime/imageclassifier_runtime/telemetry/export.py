"""From ended spans to the receiver, in a thread of its own: a bounded queue, batches, retries, and a bounded end.

What ends a span only appends to the queue. Every span that does not arrive is counted, and a change for the worse
or the better is logged once.
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
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
# A moment beyond the deadline of the last attempt, which the thread itself keeps to.
_GRACE = 0.2
_logger = logging.getLogger(__name__)


class ExportMetrics:
    """What became of the spans; made only where tracing is on."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.exported = Counter(
            "trace_spans_exported", "Spans that the receiver took", namespace="imageclassifier", registry=registry
        )
        dropped = Counter(
            "trace_spans_dropped",
            "Spans that did not get to the receiver",
            ("reason",),
            namespace="imageclassifier",
            registry=registry,
        )
        self.queue_full = dropped.labels("queue-full")
        self.undelivered = dropped.labels("undelivered")
        self.refused = dropped.labels("refused")
        self.shutdown = dropped.labels("shutdown")


class Exporter(SpanProcessor):
    """The queue and its thread."""

    def __init__(self, settings: TracingSettings, sender: Sender, metrics: ExportMetrics) -> None:
        self._settings = settings
        self._sender = sender
        self._metrics = metrics
        self._queue: deque[ReadableSpan] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._end = float("inf")
        self._failing = False
        self._full = False
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span, or drop it where the queue is full; never waits."""
        if self._closing.is_set():
            self._metrics.shutdown.inc()
            return
        if len(self._queue) >= self._settings.max_queue_size:
            self._metrics.queue_full.inc()
            if not self._full:
                self._full = True
                warn(_logger, "Spans are dropped: the queue is full", queue=self._settings.max_queue_size)
            return
        self._queue.append(span)
        if len(self._queue) >= self._settings.max_batch_size:
            self._wake.set()

    def close(self) -> None:
        """Deliver what is queued, within `flush_seconds`; what is left after that is dropped."""
        self._end = time.monotonic() + self._settings.flush_seconds
        self._closing.set()
        self._wake.set()
        self._thread.join(self._settings.flush_seconds + _GRACE)
        if self._queue:
            warn(_logger, "Spans were dropped at the end", spans=len(self._queue))
            self._metrics.shutdown.inc(len(self._queue))

    def shutdown(self) -> None:
        """Do as `close`: it is the SDK's name for it."""
        self.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(self._settings.delay_seconds)
            self._wake.clear()
            self._empty()
        self._empty()

    def _empty(self) -> None:
        """Deliver batch after batch until nothing is queued, or the end has come."""
        while self._queue and time.monotonic() < self._end:
            most = min(len(self._queue), self._settings.max_batch_size)
            batch = [self._queue.popleft() for _ in range(most)]
            try:
                self._deliver(batch)
            except Exception:  # the edge of a thread that has to live as long as the server
                _logger.exception("Spans could not be sent")
                self._metrics.undelivered.inc(len(batch))
        if self._full and not self._queue:
            self._full = False
            log(_logger, "Spans are queued again")

    def _deliver(self, batch: list[ReadableSpan]) -> None:
        body = encode_spans(batch).SerializeToString()
        for attempt in range(_ATTEMPTS):
            seconds = min(self._settings.timeout_seconds, self._end - time.monotonic())
            if seconds <= 0:
                break
            try:
                refused = self._sender.send(body, seconds=seconds)
            except DeliveryError as error:
                self._failed(error)
                if not error.retried or attempt == _ATTEMPTS - 1 or self._pause(attempt, error):
                    break
            else:
                self._delivered(len(batch), refused)
                return
        self._metrics.undelivered.inc(len(batch))

    def _pause(self, attempt: int, error: DeliveryError) -> bool:
        """Wait before the next attempt; returns whether there is to be none, because the end was there before."""
        if self._closing.is_set():
            return True
        pause = min(_LONGEST_PAUSE, max(_FIRST_PAUSE * 2**attempt, error.retry_after or 0))
        self._closing.wait(pause * random.uniform(0.75, 1.25))  # noqa: S311 - spreads attempts, guards nothing
        return False

    def _failed(self, error: DeliveryError) -> None:
        if not self._failing:
            self._failing = True
            warn(_logger, "Traces do not arrive", endpoint=self._settings.endpoint, cause=str(error))

    def _delivered(self, spans: int, refused: int) -> None:
        refused = min(max(refused, 0), spans)
        self._metrics.exported.inc(spans - refused)
        if refused:
            self._metrics.refused.inc(refused)
        if self._failing:
            self._failing = False
            log(_logger, "Traces arrive again", endpoint=self._settings.endpoint)
