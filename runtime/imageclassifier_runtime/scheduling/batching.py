"""Micro-batching: prepared inputs of several requests, run through the session together.

An image is decoded and preprocessed in a worker; then one of two things happens:

    preparing -- no other request --------> inferred in the same worker, as without batching
       |
       +-------- other requests ----------> waiting --> due --> worker requested --> inferred --> answered

Tensors of v1 and v2 start in `waiting`. The batch of waiting inputs is due

- when it is full,
- when the oldest has waited `delay` seconds,
- or immediately when no other image is being prepared: a single request never waits.

A due batch requests a worker ahead of all images that are not decoded yet. Its members are chosen only when it
gets one: while every worker is busy, batches grow without extra delay.

A waiting input has no worker. It has memory for itself and for its copy in the batch, acquired before decoding. It
counts as a waiting request, so that the queue's limit covers everything. An input that is cancelled (timeout,
disconnect) leaves the batch; once its batch runs, its memory stays taken until the inference ends. Other members
are not affected.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
from collections import deque
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import UnavailableError
from imageclassifier_runtime.inference.pipeline import Outcome, Prepared
from imageclassifier_runtime.scheduling.resource_pools import Lease
from imageclassifier_runtime.scheduling.workers import settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from imageclassifier_runtime.inference.image_headers import ImageHeader
    from imageclassifier_runtime.inference.pipeline import Classifier
    from imageclassifier_runtime.scheduling.admission import Admission


@dataclasses.dataclass(eq=False, slots=True)
class _Member:
    """One input that waits for a batch or is in one; it started to wait at the loop time `since`."""

    prepared: Prepared
    lease: Lease
    result: asyncio.Future[Outcome]
    deadline: asyncio.Timeout
    since: float
    started: bool = False


@dataclasses.dataclass(eq=False, slots=True)
class _Preparation:
    """One image that is being prepared; `arrived` once the event loop has its result or error."""

    arrived: bool = False


class Batcher:
    """Collects prepared inputs into batches; for one event loop.

    `max_batch` is the maximum number of inputs in a batch. `delay` is in seconds, as is `limit`, the timeout of
    decoding and of inference.
    `observe` is called with the size of every batch, 1 for a single image.
    """

    def __init__(
        self,
        admission: Admission,
        classifier: Classifier,
        *,
        max_batch: int,
        delay: float,
        limit: float,
        observe: Callable[[int], None],
    ) -> None:
        self.max_batch = max_batch
        self._admission = admission
        self._classifier = classifier
        self._delay = delay
        self._limit = limit
        self._observe = observe
        # Bytes of one input and of its row in the batch.
        self._input_bytes = 2 * 4 * math.prod(classifier.input_shape)
        self._waiting: deque[_Member] = deque()
        self._preparing = 0
        # Images counted in `_preparing` that run alone and will not join a batch. Filled by threads.
        self._going_alone: set[_Preparation] = set()
        self._workers_requested = 0
        self._timer: asyncio.TimerHandle | None = None
        # Batches due before this loop time are flushed, even if the loop's coarse clock is slightly behind.
        self._flush_deadline = -math.inf

    async def classify(self, lease: Lease, header: ImageHeader, top_k: int, *, peak: int) -> Outcome:
        """Return the outcome of an image, with its `top_k` classes; decoding takes `peak` bytes.

        Raises what the stages raise, UnavailableError, TooLargeError.
        """
        classifier, admission = self._classifier, self._admission
        if peak <= admission.pixels.capacity < peak + self._input_bytes:
            # An image this large leaves no memory for an input: classify it without a batch.
            return await admission.run(
                lease,
                peak=peak,
                work=lambda: classifier.classify(header, top_k, admission.is_only_request),
                limit=self._limit,
            )
        token = _Preparation()

        def is_only_request() -> bool:
            is_only = admission.is_only_request()
            if is_only:
                self._going_alone.add(token)
                if token.arrived:  # the request has already timed out
                    self._going_alone.discard(token)
            return is_only

        input_lease = Lease(lease)
        self._preparing += 1
        try:
            prepared = await admission.run(
                input_lease,
                peak=peak + self._input_bytes,
                work=lambda: classifier.prepare(header, top_k, is_only_request),
                limit=self._limit,
                keep=self._input_bytes,
            )
        except BaseException:
            self._finish_alone(token, input_lease)
            raise
        if isinstance(prepared, Outcome):
            self._finish_alone(token, input_lease)
            self._observe(1)
            return prepared
        self._preparing -= 1
        return await self._join(prepared, input_lease)

    async def infer(self, lease: Lease, prepared: Prepared) -> Outcome:
        """Return the outcome of a prepared input; raises TensorError, UnavailableError, TooLargeError."""
        input_lease = Lease(lease)
        try:
            await self._admission.take_pixels(input_lease, self._input_bytes)
        except BaseException:
            input_lease.release()
            raise
        return await self._join(prepared, input_lease)

    def _finish_alone(self, token: _Preparation, lease: Lease) -> None:
        """Remove an image that joins no batch; a waiting batch may become due because of that."""
        self._preparing -= 1
        token.arrived = True
        self._going_alone.discard(token)
        lease.release()
        self._flush_due()

    async def _join(self, prepared: Prepared, lease: Lease) -> Outcome:
        """Join a batch and wait for the outcome; `lease` is released afterwards, or when the wait is cancelled."""
        loop = asyncio.get_running_loop()
        now, timeout = loop.time(), self._admission.queue_timeout
        member = _Member(prepared, lease, loop.create_future(), asyncio.timeout_at(now + timeout), now)
        self._waiting.append(member)
        self._admission.waiting += 1
        try:
            async with member.deadline:
                self._flush_due()
                return await member.result
        except TimeoutError:
            if member.started:
                detail = f"Timed out after {self._limit:g} s classifying the image."
                raise UnavailableError(detail, reason="work-timeout") from None
            detail = f"Timed out after {timeout:g} s waiting for a worker. Retry shortly."
            raise UnavailableError(detail, reason="queue-timeout") from None
        finally:
            if not member.started:
                self._leave(member)
            # Its exception references this frame: a cycle that would keep the input and the image.
            del member

    def _leave(self, member: _Member) -> None:
        with contextlib.suppress(ValueError):  # a batch may have skipped it already
            self._waiting.remove(member)
        self._admission.waiting -= 1
        member.lease.release()

    def _flush_due(self) -> None:
        """Request a worker for each batch that is due, and set a timer for the rest."""
        loop = asyncio.get_running_loop()
        full, rest = divmod(len(self._waiting), self.max_batch)
        due, needed = math.inf, full
        if rest:
            due = self._waiting[full * self.max_batch].since + self._delay
            if self._preparing <= len(self._going_alone) or due <= max(self._flush_deadline, loop.time()):
                needed += 1
        for _ in range(needed - self._workers_requested):
            self._workers_requested += 1
            worker = self._admission.workers.take_first(1)
            if worker.done():
                self._start()
            else:
                worker.add_done_callback(lambda _: self._start())
        # Later inputs are due later, so a timer that is already set is early enough.
        if rest and needed == full and self._timer is None:
            self._timer = loop.call_at(due, self._on_timer, due)

    def _on_timer(self, due: float) -> None:
        self._timer = None
        self._flush_deadline = due
        self._flush_due()

    def _start(self) -> None:
        """Run a batch of the oldest inputs in the worker that was granted."""
        self._workers_requested -= 1
        admission, classifier = self._admission, self._classifier
        members: list[_Member] = []
        while self._waiting and len(members) < self.max_batch:
            member = self._waiting.popleft()
            if not member.result.done():  # otherwise it was cancelled and is about to leave
                members.append(member)
        if not members:
            admission.workers.release(1)
            return
        end = asyncio.get_running_loop().time() + self._limit
        for member in members:
            member.started = True
            member.deadline.reschedule(end)
        admission.waiting -= len(members)
        inputs = [member.prepared for member in members]

        def done(results: list[Outcome | Exception] | None, error: BaseException | None) -> None:
            admission.workers.release(1)
            for number, member in enumerate(members):
                member.lease.release()
                result = results[number] if results else RuntimeError(repr(error))
                settle(member.result, result, result if isinstance(result, Exception) else None)

        self._observe(len(members))
        admission.start(lambda: classifier.infer_together(inputs, admission.is_only_request), done)
