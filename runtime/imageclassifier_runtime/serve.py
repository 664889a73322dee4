"""`imageclassifier serve`: from settings to a warmed-up server; the order matters for measuring memory."""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import ModelError
from imageclassifier_runtime.logs import log
from imageclassifier_runtime.model import folder as model_folder
from imageclassifier_runtime.scheduling import memory_budget
from imageclassifier_runtime.settings.commands import BUNDLED
from imageclassifier_runtime.system import cgroup, malloc, termination

if TYPE_CHECKING:
    from imageclassifier_runtime.auth.key_files import KeyFiles
    from imageclassifier_runtime.cache.results import ResultCache
    from imageclassifier_runtime.inference.pipeline import Classifier
    from imageclassifier_runtime.protocols.state import ServerState
    from imageclassifier_runtime.scheduling.admission import Admission
    from imageclassifier_runtime.scheduling.batching import Batcher
    from imageclassifier_runtime.scheduling.workers import Workers
    from imageclassifier_runtime.settings.commands import ServeSettings
    from imageclassifier_runtime.telemetry.metrics import Metrics
    from imageclassifier_runtime.telemetry.tracing import Tracing

_logger = logging.getLogger(__name__)
# A hit takes the event loop a millisecond, an image takes a worker ten: workers yield the CPU to the loop.
_NICENESS_WITH_CACHE = 8


def main(settings: ServeSettings) -> int:
    """Serve until a signal; returns the exit status."""
    started = time.monotonic()
    threads = settings.threads or cgroup.thread_count()
    malloc.configure(arenas=2)
    try:
        model = model_folder.load(
            model_folder.or_bundled(settings.model_dir, settings.model_uri.removeprefix(BUNDLED)),
            name=settings.model_name,
            precision=settings.precision,
            sha256=settings.sha256,
        )
        state, workers = build(settings, model, threads=threads)
    except ModelError as error:
        _logger.error("Model not usable: %s: %s", error.reason, error.message)  # noqa: TRY400 - the cause is the message
        termination.write(settings.termination_log, {"reason": error.reason, "message": error.message})
        return 1
    from imageclassifier_runtime.web import server  # noqa: PLC0415
    from imageclassifier_runtime.web.app import create_app  # noqa: PLC0415

    app = create_app(state)
    log(_logger, "Ready", seconds=round(time.monotonic() - started, 3), **_facts(state, threads))
    server.run(app, state)
    workers.shutdown()
    if state.tracing is not None:
        state.tracing.close()
    if state.admission.running:
        # A decoder that is still busy would keep the process alive, although its result is not needed.
        logging.shutdown()
        os._exit(0)
    return 0


def _import_packages() -> None:
    """Import the packages that take most of the start time and of the memory.

    Signals are blocked during the imports: an exception that a signal handler raises inside the import of a C
    module may be lost, or kill the process without any cleanup. Garbage is not collected: what is imported stays,
    and looking through it again and again takes a tenth of the start.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    gc.disable()
    try:
        import onnxruntime  # noqa: F401, PLC0415
        import uvloop  # noqa: F401, PLC0415

        import imageclassifier_runtime.inference.pipeline  # noqa: PLC0415
        import imageclassifier_runtime.web.app  # noqa: F401, PLC0415
    finally:
        gc.freeze()
        gc.enable()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def build(
    settings: ServeSettings, model: model_folder.ModelFolder, *, threads: int
) -> tuple[ServerState, Workers]:
    """Load and warm up the model, measure memory, return the server's state; raises ModelError, SettingsError."""
    # Before memory is measured.
    _import_packages()
    from imageclassifier_runtime.inference import decode  # noqa: PLC0415
    from imageclassifier_runtime.inference.pipeline import Classifier  # noqa: PLC0415
    from imageclassifier_runtime.protocols.state import Lifecycle, ServerState  # noqa: PLC0415
    from imageclassifier_runtime.scheduling.admission import Admission  # noqa: PLC0415
    from imageclassifier_runtime.scheduling.heap_trimmer import HeapTrimmer  # noqa: PLC0415
    from imageclassifier_runtime.scheduling.workers import Workers  # noqa: PLC0415
    from imageclassifier_runtime.telemetry.metrics import Metrics  # noqa: PLC0415

    # Before the model is loaded: a server without valid keys or certificates fails immediately.
    keys = _keys(settings)
    _check_certificates(settings)
    decode.configure(settings.max_image_pixels)
    classifier = Classifier.load(model, threads=threads)
    reserve = classifier.warm_up(threads, settings.max_batch_size, lambda: _spare(settings))
    workers = Workers(threads, niceness=_NICENESS_WITH_CACHE if settings.cache.on else 0)
    metrics = Metrics()
    info = model.info
    metrics.model.labels(info.name, info.sha256, info.precision).set(1)
    # Before memory is measured, because the packages of both take memory.
    tracing = _tracing(settings, model, metrics)
    cache = _cache(settings, classifier, metrics)
    admission = Admission(
        sizes=memory_budget.divide(_memory(settings, reserve), settings),
        workers=workers,
        max_queue=settings.max_queue_size,
        queue_timeout=settings.queue_timeout_seconds,
        # Two per worker. With batching 0: a batch takes the waiting requests when a worker is free, so none may
        # have been handed over in advance.
        ahead=0 if settings.max_batch_size > 1 else 2 * threads,
    )
    admission.on_idle = HeapTrimmer(admission, workers).start_idle_period
    metrics.read_queue_with(waiting=lambda: admission.queue_depth, running=lambda: admission.in_flight)
    state = ServerState(
        settings=settings,
        classifier=classifier,
        admission=admission,
        metrics=metrics,
        lifecycle=Lifecycle(),
        tracing=tracing,
        keys=keys,
        cache=cache,
        batcher=_batcher(settings, admission, classifier, metrics),
    )
    return state, workers


def _keys(settings: ServeSettings) -> KeyFiles | None:
    if settings.api_keys_path is None:
        return None
    from imageclassifier_runtime.auth.key_files import KeyFiles  # noqa: PLC0415

    return KeyFiles(settings.api_keys_path)


def _check_certificates(settings: ServeSettings) -> None:
    """Raise SettingsError if certificates cannot be read, even if nothing uses them at present."""
    if settings.ca_dir is not None:
        from imageclassifier_runtime.outbound.certificates import authorities  # noqa: PLC0415

        authorities(settings.ca_dir)


def _tracing(settings: ServeSettings, model: model_folder.ModelFolder, metrics: Metrics) -> Tracing | None:
    """Import tracing only if it is enabled."""
    if settings.tracing is None:
        return None
    from imageclassifier_runtime.telemetry.tracing import Tracing  # noqa: PLC0415

    return Tracing(settings.tracing, model=model.info, registry=metrics.registry)


def _cache(settings: ServeSettings, classifier: Classifier, metrics: Metrics) -> ResultCache | None:
    if not settings.cache.on:
        return None
    from imageclassifier_runtime.cache.results import ResultCache  # noqa: PLC0415

    return ResultCache(settings, classifier, metrics.registry)


def _batcher(
    settings: ServeSettings, admission: Admission, classifier: Classifier, metrics: Metrics
) -> Batcher | None:
    if settings.max_batch_size == 1:
        return None
    from imageclassifier_runtime.scheduling.admission import WORK_TIMEOUT_SECONDS  # noqa: PLC0415
    from imageclassifier_runtime.scheduling.batching import Batcher  # noqa: PLC0415

    return Batcher(
        admission,
        classifier,
        max_batch=settings.max_batch_size,
        delay=settings.max_queue_delay_milliseconds / 1000,
        limit=WORK_TIMEOUT_SECONDS,
        observe=metrics.batch_size.observe,
    )


def _spare(settings: ServeSettings) -> int:
    """Return how many bytes the process may still allocate, as far as is known."""
    limit = settings.memory_limit_bytes or cgroup.memory_limit()
    return cgroup.available_memory() if limit is None else limit - cgroup.resident_memory()


def _memory(settings: ServeSettings, reserve: int) -> memory_budget.Memory:
    malloc.trim()
    return memory_budget.Memory(
        limit=settings.memory_limit_bytes or cgroup.memory_limit(),
        used=cgroup.resident_memory() + reserve,
        available=cgroup.available_memory(),
    )


def _facts(state: ServerState, threads: int) -> dict[str, object]:
    model: Classifier = state.classifier
    mib = 1 << 20
    return {
        "model": model.model.info.name,
        "sha256": model.model.info.sha256,
        "precision": model.model.info.precision,
        "classes": model.model.info.classes,
        "threads": threads,
        "max_batch_size": state.settings.max_batch_size,
        "resident_mib": cgroup.resident_memory() // mib,
        "limit_mib": (state.settings.memory_limit_bytes or cgroup.memory_limit() or 0) // mib or None,
        "bodies_mib": state.admission.bodies.capacity // mib,
        "pixels_mib": state.admission.pixels.capacity // mib,
        "cache_mib": state.settings.cache.max_bytes // mib or None,
        "redis": state.settings.cache.redis and state.settings.cache.redis.url,
    }
