"""Request handling shared by all protocols: from the body to outcomes, with every limit enforced."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import TYPE_CHECKING, TypeVar

from starlette.requests import ClientDisconnect

from imageclassifier_runtime.auth.caller import caller_of
from imageclassifier_runtime.errors import RequestError, UnavailableError
from imageclassifier_runtime.inference import image_headers
from imageclassifier_runtime.inference.pipeline import WORKSPACE, Outcome, Prepared
from imageclassifier_runtime.request import scope_keys
from imageclassifier_runtime.request.body import BodyReader, declared_length, early_response, too_many_bytes
from imageclassifier_runtime.request.slow_clients import HAS_ARRIVED, TAKE_WHOLE
from imageclassifier_runtime.scheduling.admission import WORK_SECONDS
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

# Most images or tensors in one request.
MAX_ITEMS = 32
# A request with several images may have this many times the bytes of one, if there is memory for it.
_BATCH_IMAGES = 4
# Such a body counts twice: what is extracted from it (files, decoded base64, numbers) is in memory alongside it.
_BATCH_COST = 2
# Bytes of a large body that must arrive before it gets memory; less than the kernel's buffer for a connection.
_FIRST_BYTES = 64 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """An image file, not parsed yet."""

    data: Data


@dataclasses.dataclass(frozen=True, slots=True)
class Tensor:
    """One prepared input [3, S, S], not yet checked for NaN; it may be a view of the body."""

    values: FloatArray


Item = Image | Tensor


class RequestContext:
    """One request being handled; `handle` creates it and releases its resources."""

    def __init__(self, state: ServerState, request: Request) -> None:
        self.started = time.perf_counter()
        self.receive_seconds = 0.0
        self.request = request
        self.reader = BodyReader(request.receive, request.scope.get(TAKE_WHOLE, _no_body))
        self.lease = Lease()
        self.trace: RequestTrace | None = request.scope.get(scope_keys.TRACE)
        self._state = state
        self._looked_up = 0
        self._found = 0

    async def read(self, *, limit: int, stated_limit: int, factor: int = 1) -> bytearray:
        """Return the body once there is memory for `factor` times its bytes.

        `limit` is how many bytes are read; `stated_limit` is the limit that error messages state.
        """
        settings = self._state.settings
        length = declared_length(dict(self.request.scope["headers"]))
        if length is not None and length > limit:
            raise too_many_bytes(stated_limit)
        size = factor * (limit if length is None else length)
        size += BODY_OVERHEAD - (limit - stated_limit)
        bodies, has_arrived = self._state.admission.bodies, self.request.scope.get(HAS_ARRIVED)
        if has_arrived is not None and size > bodies.free - bodies.capacity // 2:
            # Half of the memory is reserved for bodies that have started to arrive.
            amount = 1 if length is None else min(length, _FIRST_BYTES)
            await self.reader.wait_for_bytes(has_arrived, amount=amount, seconds=settings.body_idle_seconds)
        await self._state.admission.admit_body(self.lease, size)
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
        """Return a body that may hold several images or tensors."""
        limit = batch_bytes(self._state)
        return await self.read(limit=limit, stated_limit=limit, factor=_BATCH_COST)

    @property
    def pixel_capacity(self) -> int:
        """Return the capacity of the pool for pixels in bytes."""
        return self._state.admission.pixels.capacity

    async def work(self, work: Callable[[], T], peak: int) -> T:
        """Return the result of `work`, run in a worker with `peak` bytes acquired."""
        return await self._state.admission.run(self.lease, peak=peak, work=work, limit=WORK_SECONDS)

    async def answer(self, item: Item, count: int, number: int | None = None) -> Outcome:
        """Return the outcome of one image or tensor, including its time in the queue; `number` is its index."""
        started = time.perf_counter()
        try:
            outcome = await (self._image(item, count) if isinstance(item, Image) else self._tensor(item, count))
        except RequestError as error:
            if self.trace is not None:
                self.trace.add_failed_item(error, started, number)
            raise
        if self.trace is not None:
            self.trace.add_item(outcome, started, number)
        seconds = outcome.seconds
        seconds["queue"] = max(0.0, time.perf_counter() - started - sum(seconds.values()))
        for stage, value in seconds.items():
            self._state.metrics.stages.labels(stage).observe(value)
        return outcome

    async def answer_each(self, items: Sequence[Item], count: int) -> list[Outcome | RequestError]:
        """Return an outcome or an error for each item, in order.

        Only as many run at the same time as there are workers, or as fit in one inference, so that one client's
        batch does not fill the queue and other clients' images are served in between.
        """
        caller = caller_of(self.request.scope)
        if caller is not None:
            caller.charge(len(items) - 1)
        batcher = self._state.batcher
        concurrency = max(self._state.admission.concurrency, 1 if batcher is None else batcher.most)
        results: list[Outcome | RequestError] = [_NOT_STARTED] * len(items)
        self.request.scope[scope_keys.ITEMS] = len(items)
        pending = iter(enumerate(items))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._state.settings.queue_timeout_seconds + WORK_SECONDS

        async def process_pending() -> None:
            for index, item in pending:
                if loop.time() > deadline:
                    return
                try:
                    results[index] = await self.answer(item, count, index)
                except RequestError as error:
                    # Its frames reference this list: a cycle that only the garbage collector would free.
                    results[index] = error.with_traceback(None)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(items), concurrency)):
                group.create_task(process_pending())
        return results

    async def answer_all(self, items: Sequence[Item], count: int) -> list[Outcome]:
        """Return an outcome for each item, in order; raises the first error."""
        if len(items) == 1:
            return [await self.answer(items[0], count)]
        outcomes = []
        for index, result in enumerate(await self.answer_each(items, count)):
            if isinstance(result, RequestError):
                raise type(result)(f"Item {index + 1} of {len(items)}: {result.detail}", reason=result.reason)
            outcomes.append(result)
        return outcomes

    def set_cache_header(self, response: Response) -> Response:
        """Set the header `X-Cache` if any of the response's images were looked up in the cache."""
        if self._looked_up:
            partly = "partial" if self._found else "miss"
            response.headers["x-cache"] = "hit" if self._found == self._looked_up else partly
        return response

    def rejected_response(self, error: RequestError, protocol: Protocol) -> Response:
        """Count a rejected request and return its response."""
        self._state.metrics.rejected.labels(error.reason).inc()
        self.request.scope[scope_keys.REASON] = error.reason
        return protocol.errors.of_error(error)

    async def _image(self, image: Image, count: int) -> Outcome:
        most, cache = self._state.settings.max_image_bytes, self._state.cache
        if len(image.data) > most:
            raise too_many_bytes(most)
        if cache is None:
            return await self._classify(image, count)
        self._looked_up += 1
        lookup = await cache.get_or_compute(image.data, count, lambda: self._classify(image, count))
        self._found += lookup.hit
        return lookup.outcome

    async def _classify(self, image: Image, count: int) -> Outcome:
        settings, classifier, alone = self._state.settings, self._state.classifier, self._state.admission.alone
        batcher = self._state.batcher
        header = image_headers.read(image.data)
        image_headers.check_limits(header, max_pixels=settings.max_image_pixels, max_side=settings.max_image_side)
        peak = header.peak + min(WORKSPACE, 16 * header.pixels)
        if batcher is not None:
            return await batcher.classify(self.lease, header, count, peak=peak)
        return await self.work(lambda: classifier.classify(header, count, alone), peak)

    async def _tensor(self, tensor: Tensor, count: int) -> Outcome:
        classifier, alone, batcher = self._state.classifier, self._state.admission.alone, self._state.batcher
        if batcher is not None:
            return await batcher.infer(self.lease, Prepared(tensor.values, count))
        return await self.work(lambda: classifier.infer(tensor.values, count, alone), 2 * tensor.values.nbytes)


def _no_body() -> None:
    """Replace TAKE_WHOLE if the server does not provide it."""


def _stopping() -> UnavailableError:
    return UnavailableError("This server is shutting down. Retry: another one will answer.", reason="draining")


_NOT_STARTED = UnavailableError(
    "Timed out while processing earlier images of this request.", reason="work-timeout"
)


async def handle(
    state: ServerState,
    request: Request,
    work: Callable[[RequestContext], Awaitable[Response]],
    protocol: Protocol,
) -> Response:
    """Handle one request with `work`; request errors are returned in the protocol's format."""
    context = RequestContext(state, request)
    task = request.scope[scope_keys.TASK] = asyncio.current_task()
    try:
        if request.scope.get(scope_keys.DISCONNECTED):
            raise ClientDisconnect
        if state.lifecycle.stopping:
            raise _stopping()
        return context.set_cache_header(await work(context))
    except RequestError as error:
        return early_response(context.rejected_response(error, protocol), context.reader, request.scope["headers"])
    except asyncio.CancelledError as error:
        disconnected = request.scope.get(scope_keys.DISCONNECTED)
        if task is None or not (disconnected or state.lifecycle.stopping):
            raise
        # A TaskGroup keeps the exception that ended it: a reference cycle with its frames and the request's body.
        error.__traceback__ = None
        task.uncancel()
        if disconnected:
            raise ClientDisconnect from None
        # The process is stopping, so the rest of the body is not read.
        return context.rejected_response(_stopping(), protocol)
    finally:
        del request.scope[scope_keys.TASK]
        request.scope[scope_keys.BYTES_IN] = context.reader.received
        context.lease.release()


def batch_bytes(state: ServerState) -> int:
    """Return the largest body with several images or tensors, in bytes; limited by the pool for bodies."""
    room = (state.admission.bodies.capacity - BODY_OVERHEAD) // _BATCH_COST
    return min(_BATCH_IMAGES * state.settings.max_image_bytes, room)
