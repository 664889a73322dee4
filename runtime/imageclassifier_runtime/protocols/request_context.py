"""Request handling shared by all protocols: reads the body, classifies its items, and enforces every limit."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import TYPE_CHECKING, TypeVar

from starlette.requests import ClientDisconnect

from imageclassifier_runtime.auth.caller import caller_of
from imageclassifier_runtime.errors import RequestError, UnavailableError
from imageclassifier_runtime.inference import image_headers
from imageclassifier_runtime.inference.pipeline import MAX_RESIZE_BYTES, RESIZE_BYTES_PER_PIXEL, Outcome, Prepared
from imageclassifier_runtime.request import scope_keys
from imageclassifier_runtime.request.body import BodyReader, declared_length, early_response, too_many_bytes
from imageclassifier_runtime.request.slow_clients import HAS_ARRIVED, TAKE_COMPLETE_BODY
from imageclassifier_runtime.scheduling.admission import WORK_TIMEOUT_SECONDS
from imageclassifier_runtime.scheduling.memory_budget import BODY_OVERHEAD
from imageclassifier_runtime.scheduling.resource_pools import Lease

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from imageclassifier_runtime.inference.image_headers.base import Data
    from imageclassifier_runtime.inference.session import FloatArray
    from imageclassifier_runtime.protocols.state import ServerState
    from imageclassifier_runtime.request.paths import Protocol
    from imageclassifier_runtime.telemetry.tracing import RequestTrace

T = TypeVar("T")

# Maximum number of images or tensors in one request.
MAX_ITEMS = 32
# The body of a request with several images may have this many times the maximum bytes of one image.
_BATCH_BYTES_FACTOR = 4
# Such a body takes memory for twice its bytes: what is extracted from it (files, numbers) is in memory, too.
_BATCH_MEMORY_FACTOR = 2
# While memory is scarce, a body gets memory only after this many of its bytes have arrived. They wait in the
# kernel's buffer of the connection, which is larger.
_MIN_ARRIVED_BYTES = 64 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """An image file, not parsed yet."""

    data: Data


@dataclasses.dataclass(frozen=True, slots=True)
class Tensor:
    """One input of the model, not checked for NaN yet; the array may be a view of the body."""

    values: FloatArray


Item = Image | Tensor


class RequestContext:
    """The state of one request while it is handled; created by `handle`, which also releases its resources."""

    def __init__(self, state: ServerState, request: Request) -> None:
        self.started = time.perf_counter()
        self.receive_seconds = 0.0
        self.request = request
        self.reader = BodyReader(request.receive, request.scope.get(TAKE_COMPLETE_BODY, _no_complete_body))
        self.lease = Lease()
        self.trace: RequestTrace | None = request.scope.get(scope_keys.TRACE)
        self._state = state
        self._cache_lookups = 0
        self._cache_hits = 0

    async def read(self, *, limit: int, stated_limit: int, memory_factor: int = 1) -> bytearray:
        """Wait until there is memory for `memory_factor` times the body, then read it.

        The body may have up to `limit` bytes. Error messages state `stated_limit`, which does not include the form
        around an image.
        """
        settings = self._state.settings
        length = declared_length(dict(self.request.scope["headers"]))
        if length is not None and length > limit:
            raise too_many_bytes(stated_limit)
        memory = memory_factor * (limit if length is None else length)
        # Both BODY_OVERHEAD and `limit` include the form around an image: count it only once.
        memory += BODY_OVERHEAD - (limit - stated_limit)
        bodies, has_arrived = self._state.admission.bodies, self.request.scope.get(HAS_ARRIVED)
        if has_arrived is not None and memory > bodies.free - bodies.capacity // 2:
            # Half of the memory is reserved for bodies whose first bytes have arrived: wait for those of this one.
            amount = 1 if length is None else min(length, _MIN_ARRIVED_BYTES)
            await self.reader.wait_for_bytes(has_arrived, amount=amount, seconds=settings.body_idle_seconds)
        await self._state.admission.admit_body(self.lease, memory)
        body = await self.reader.read(
            limit=limit,
            seconds=settings.body_timeout_seconds,
            idle_seconds=settings.body_idle_seconds,
            contended=lambda: bodies.contended,
        )
        self.receive_seconds = time.perf_counter() - self.started
        self._state.metrics.stages.labels("receive").observe(self.receive_seconds)
        if self.trace is not None:
            self.trace.add_stage("receive", self.started, self.started + self.receive_seconds)
        return body

    async def read_batch(self) -> bytearray:
        """Read a body with one or several images or tensors."""
        limit = batch_bytes(self._state)
        return await self.read(limit=limit, stated_limit=limit, memory_factor=_BATCH_MEMORY_FACTOR)

    @property
    def pixel_capacity(self) -> int:
        """Return the size in bytes of the memory pool for pixels."""
        return self._state.admission.pixels.capacity

    async def run_in_worker(self, function: Callable[[], T], peak: int) -> T:
        """Call `function` in a worker once `peak` bytes are acquired for it, and return its result."""
        return await self._state.admission.run(self.lease, peak=peak, work=function, limit=WORK_TIMEOUT_SECONDS)

    async def process_item(self, item: Item, top_k: int, index: int | None = None) -> Outcome:
        """Classify one image or tensor, and record the durations of its stages and of its wait in the queue.

        `top_k` is the requested number of classes; `index` is the position in a batch, None for a single item.
        """
        started = time.perf_counter()
        try:
            if isinstance(item, Image):
                outcome = await self._process_image(item, top_k)
            else:
                outcome = await self._process_tensor(item, top_k)
        except RequestError as error:
            if self.trace is not None:
                self.trace.add_failed_item(error, started, index)
            raise
        if self.trace is not None:
            self.trace.add_item(outcome, started, index)
        seconds = outcome.seconds
        seconds["queue"] = max(0.0, time.perf_counter() - started - sum(seconds.values()))
        for stage, value in seconds.items():
            self._state.metrics.stages.labels(stage).observe(value)
        return outcome

    async def process_each(self, items: Sequence[Item], top_k: int) -> list[Outcome | RequestError]:
        """Return an outcome or an error for each item, in order.

        The number of items that run at the same time is limited to the number of workers or, if that is larger,
        to the maximum batch size. Otherwise one request would fill the queue, and other requests would have to
        wait for all of its items.
        """
        caller = caller_of(self.request.scope)
        # The rate limit has already counted the request as one.
        if caller is not None:
            caller.charge(len(items) - 1)
        batcher = self._state.batcher
        concurrency = max(self._state.admission.concurrency, 1 if batcher is None else batcher.max_batch)
        results: list[Outcome | RequestError] = [_NOT_STARTED] * len(items)
        self.request.scope[scope_keys.ITEMS] = len(items)
        pending = iter(enumerate(items))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._state.settings.queue_timeout_seconds + WORK_TIMEOUT_SECONDS

        async def process_pending() -> None:
            for index, item in pending:
                if loop.time() > deadline:
                    return
                try:
                    results[index] = await self.process_item(item, top_k, index)
                except RequestError as error:
                    # A traceback references `results`: without it, there is no reference cycle.
                    results[index] = error.with_traceback(None)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(items), concurrency)):
                group.create_task(process_pending())
        return results

    async def process_all(self, items: Sequence[Item], top_k: int) -> list[Outcome]:
        """Return an outcome for each item, in order; raises the error of the first item that has one."""
        if len(items) == 1:
            return [await self.process_item(items[0], top_k)]
        outcomes = []
        for index, result in enumerate(await self.process_each(items, top_k)):
            if isinstance(result, RequestError):
                raise type(result)(f"Item {index + 1} of {len(items)}: {result.detail}", reason=result.reason)
            outcomes.append(result)
        return outcomes

    def set_cache_header(self, response: Response) -> Response:
        """Set the header `X-Cache` if any of the response's images were looked up in the cache."""
        if self._cache_lookups:
            if self._cache_hits == self._cache_lookups:
                result = "hit"
            else:
                result = "partial" if self._cache_hits else "miss"
            response.headers["x-cache"] = result
        return response

    def reject(self, error: RequestError, protocol: Protocol) -> Response:
        """Record that the request is rejected, and return the error response."""
        self._state.metrics.rejected.labels(error.reason).inc()
        self.request.scope[scope_keys.REASON] = error.reason
        return protocol.errors.error_response(error)

    async def _process_image(self, image: Image, top_k: int) -> Outcome:
        max_bytes, cache = self._state.settings.max_image_bytes, self._state.cache
        if len(image.data) > max_bytes:
            raise too_many_bytes(max_bytes)
        if cache is None:
            return await self._classify(image, top_k)
        self._cache_lookups += 1
        lookup = await cache.get_or_compute(image.data, top_k, lambda: self._classify(image, top_k))
        self._cache_hits += lookup.hit
        return lookup.outcome

    async def _classify(self, image: Image, top_k: int) -> Outcome:
        settings, classifier, batcher = self._state.settings, self._state.classifier, self._state.batcher
        is_only_request = self._state.admission.is_only_request
        header = image_headers.read(image.data)
        image_headers.check_limits(header, max_pixels=settings.max_image_pixels, max_side=settings.max_image_side)
        peak = header.peak + min(MAX_RESIZE_BYTES, RESIZE_BYTES_PER_PIXEL * header.pixels)
        if batcher is not None:
            return await batcher.classify(self.lease, header, top_k, peak=peak)
        return await self.run_in_worker(lambda: classifier.classify(header, top_k, is_only_request), peak)

    async def _process_tensor(self, tensor: Tensor, top_k: int) -> Outcome:
        classifier, batcher, values = self._state.classifier, self._state.batcher, tensor.values
        is_only_request = self._state.admission.is_only_request
        if batcher is not None:
            return await batcher.infer(self.lease, Prepared(values, top_k))
        # For a copy of the tensor, and for the check for NaN, which takes less memory than another copy.
        peak = 2 * values.nbytes
        return await self.run_in_worker(lambda: classifier.infer(values, top_k, is_only_request), peak)


def _no_complete_body() -> None:
    """Replace TAKE_COMPLETE_BODY if the server does not set it; return None, as if no body had arrived."""


def _shutdown_error() -> UnavailableError:
    return UnavailableError("This server is shutting down. Retry: another one will answer.", reason="draining")


_NOT_STARTED = UnavailableError(
    "Timed out while processing earlier images of this request.", reason="work-timeout"
)


async def handle(
    state: ServerState,
    request: Request,
    process: Callable[[RequestContext], Awaitable[Response]],
    protocol: Protocol,
) -> Response:
    """Return the response of `process` or, if that raises RequestError, an error in the protocol's format."""
    context = RequestContext(state, request)
    task = request.scope[scope_keys.TASK] = asyncio.current_task()
    try:
        if request.scope.get(scope_keys.DISCONNECTED):
            raise ClientDisconnect
        if state.lifecycle.stopping:
            raise _shutdown_error()
        return context.set_cache_header(await process(context))
    except RequestError as error:
        return early_response(context.reject(error, protocol), context.reader, request.scope["headers"])
    except asyncio.CancelledError as error:
        disconnected = request.scope.get(scope_keys.DISCONNECTED)
        if task is None or not (disconnected or state.lifecycle.stopping):
            raise
        # A TaskGroup keeps the exception that stopped it, and the frames of its traceback reference the TaskGroup
        # and the request's body: without the traceback, there is no reference cycle.
        error.__traceback__ = None
        task.uncancel()
        if disconnected:
            raise ClientDisconnect from None
        # The process is stopping, so the rest of the body is not read.
        return context.reject(_shutdown_error(), protocol)
    finally:
        del request.scope[scope_keys.TASK]
        request.scope[scope_keys.BYTES_IN] = context.reader.received
        context.lease.release()


def batch_bytes(state: ServerState) -> int:
    """Return the maximum bytes of a body with several images or tensors; the pool for bodies may limit it."""
    max_in_pool = (state.admission.bodies.capacity - BODY_OVERHEAD) // _BATCH_MEMORY_FACTOR
    return min(_BATCH_BYTES_FACTOR * state.settings.max_image_bytes, max_in_pool)
