"""Micro-batches: prepared inputs of several requests, put through the session together.

An image is decoded and prepared in a worker; then it goes one of two ways:

    coming -- alone once it is prepared --> inferred there and then, as without batching
       |
       +----- others are there -----------> waiting --> due --> asked for a worker --> inferred --> answered

Prepared inputs (tensors of v1 and v2) are waiting from the start. The batch of those that wait is due

- when it is full,
- when the oldest has waited `delay` seconds,
- or at once when nobody else is coming: one who is alone never waits for company.

What is due asks for a worker ahead of all images that are not decoded yet, and only when it gets one is the batch
made up of those that wait then: while every worker is busy, batches grow by themselves, and nobody waits for them.

Those that wait hold no worker, but room for their input and its copy in the batch, taken before they were decoded.
They count as waiting requests, so that the bound of the queue holds for all together. One that gives up (deadline,
client gone) leaves its place; once its batch runs, its room stays taken until the thread ends. No other is harmed.
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
    """One input on its way through a batch; `since` when it waits, in loop time."""

    given: Prepared
    room: Lease
    answer: asyncio.Future[Outcome]
    deadline: asyncio.Timeout
    since: float
    started: bool = False


@dataclasses.dataclass(eq=False, slots=True)
class _Token:
    """One image that is coming, until it has `arrived`."""

    arrived: bool = False


class Batcher:
    """Gathers prepared inputs; for one event loop.

    `most` inputs make a batch full; `delay` is in seconds, and so is `limit`, the most that decoding and inference
    may each take. `observe` is told the size of every batch, 1 for what went alone.
    """

    def __init__(
        self,
        admission: Admission,
        classifier: Classifier,
        *,
        most: int,
        delay: float,
        limit: float,
        observe: Callable[[int], None],
    ) -> None:
        self.most = most
        self._admission = admission
        self._classifier = classifier
        self._delay = delay
        self._limit = limit
        self._observe = observe
        # Bytes of one input and of its row in the batch.
        self._room = 2 * 4 * math.prod(classifier.input_shape)
        self._waiting: deque[_Member] = deque()
        self._preparing = 0
        # Of those that are coming, the ones that found themselves alone: they will not join. Filled by threads.
        self._going_alone: set[_Token] = set()
        self._asked = 0
        self._timer: asyncio.TimerHandle | None = None
        # Until when (loop time) the timer has seen to it that batches are due: clocks of loops are coarse.
        self._flush_deadline = -math.inf

    async def classify(self, lease: Lease, header: ImageHeader, count: int, *, peak: int) -> Outcome:
        """Return the outcome of an image, whose decoding takes `peak` bytes.

        Raises what the stages raise, UnavailableError, TooLargeError.
        """
        classifier, admission = self._classifier, self._admission
        if peak <= admission.pixels.capacity < peak + self._room:
            # The largest image that there is room for leaves none for an input beside it.
            return await admission.run(
                lease,
                peak=peak,
                work=lambda: classifier.classify(header, count, admission.alone),
                limit=self._limit,
            )
        token = _Token()

        def alone() -> bool:
            found = admission.alone()
            if found:
                self._going_alone.add(token)
                if token.arrived:  # its client has its 503 by now, and this thread is the last to know
                    self._going_alone.discard(token)
            return found

        kept = Lease(lease)
        self._preparing += 1
        try:
            prepared = await admission.run(
                kept,
                peak=peak + self._room,
                work=lambda: classifier.prepare(header, count, alone),
                limit=self._limit,
                keep=self._room,
            )
        except BaseException:
            self._arrived(token, kept)
            raise
        if isinstance(prepared, Outcome):
            self._arrived(token, kept)
            self._observe(1)
            return prepared
        self._preparing -= 1
        return await self._join(prepared, kept)

    async def infer(self, lease: Lease, prepared: Prepared) -> Outcome:
        """Return the outcome of a prepared input; raises TensorError, UnavailableError, TooLargeError."""
        kept = Lease(lease)
        try:
            await self._admission.take_pixels(kept, self._room)
        except BaseException:
            kept.release()
            raise
        return await self._join(prepared, kept)

    def _arrived(self, token: _Token, kept: Lease) -> None:
        """See off one who was coming and joins no batch: those that wait may have waited for it alone."""
        self._preparing -= 1
        token.arrived = True
        self._going_alone.discard(token)
        kept.release()
        self._look()

    async def _join(self, given: Prepared, room: Lease) -> Outcome:
        """Wait for a batch and for its end; `room` is given back then, or when the wait ends before."""
        loop = asyncio.get_running_loop()
        now, patience = loop.time(), self._admission.queue_timeout
        member = _Member(given, room, loop.create_future(), asyncio.timeout_at(now + patience), now)
        self._waiting.append(member)
        self._admission.waiting += 1
        try:
            async with member.deadline:
                self._look()
                return await member.answer
        except TimeoutError:
            if member.started:
                detail = f"The image was not classified within {self._limit:g} s."
                raise UnavailableError(detail, reason="work-timeout") from None
            detail = f"No worker came free within {patience:g} s. Try again shortly."
            raise UnavailableError(detail, reason="queue-timeout") from None
        finally:
            if not member.started:
                self._leave(member)
            # An error that was its answer holds this frame: a cycle, with input and image in it.
            del member

    def _leave(self, member: _Member) -> None:
        with contextlib.suppress(ValueError):  # a batch may have passed it over already
            self._waiting.remove(member)
        self._admission.waiting -= 1
        member.room.release()

    def _look(self) -> None:
        """Ask for a worker for each batch that is due, and see to it that the rest will be."""
        loop = asyncio.get_running_loop()
        full, rest = divmod(len(self._waiting), self.most)
        due, wanted = math.inf, full
        if rest:
            due = self._waiting[full * self.most].since + self._delay
            if self._preparing <= len(self._going_alone) or due <= max(self._flush_deadline, loop.time()):
                wanted += 1
        for _ in range(wanted - self._asked):
            self._asked += 1
            worker = self._admission.workers.ask(1)
            if worker.done():
                self._start()
            else:
                worker.add_done_callback(lambda _: self._start())
        # Those that wait later are due later, so a timer that is set already comes in time.
        if rest and wanted == full and self._timer is None:
            self._timer = loop.call_at(due, self._ripen, due)

    def _ripen(self, due: float) -> None:
        self._timer = None
        self._flush_deadline = due
        self._look()

    def _start(self) -> None:
        """Put those that have waited longest through the session, in the worker that was asked for."""
        self._asked -= 1
        admission, classifier = self._admission, self._classifier
        members: list[_Member] = []
        while self._waiting and len(members) < self.most:
            member = self._waiting.popleft()
            if not member.answer.done():  # else it has given up, and is about to leave
                members.append(member)
        if not members:
            admission.workers.release(1)
            return
        end = asyncio.get_running_loop().time() + self._limit
        for member in members:
            member.started = True
            member.deadline.reschedule(end)
        admission.waiting -= len(members)
        inputs = [member.given for member in members]

        def done(results: list[Outcome | Exception] | None, error: BaseException | None) -> None:
            admission.workers.release(1)
            for number, member in enumerate(members):
                member.room.release()
                result = results[number] if results else RuntimeError(repr(error))
                settle(member.answer, result, result if isinstance(result, Exception) else None)

        self._observe(len(members))
        admission.start(lambda: classifier.infer_together(inputs, admission.alone), done)
