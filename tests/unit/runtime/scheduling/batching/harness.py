"""A batcher over real workers whose clock, decoding and inference are controlled by the test."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import TYPE_CHECKING

import numpy as np
from imageclassifier_runtime.inference import image_headers
from imageclassifier_runtime.inference.pipeline import Classifier, Outcome, Prepared
from imageclassifier_runtime.scheduling.resource_pools import Lease

from tests.unit.runtime.support import image_bytes

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Coroutine

    from imageclassifier_runtime.scheduling.admission import Admission
    from imageclassifier_runtime.scheduling.batching import Batcher


DELAY = 5.0
PATIENCE = 100.0
LIMIT = 1000.0
CAPACITY = 1 << 20
ROOM = 2 * 4 * 3 * 32 * 32


class ManualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock advances only when a test advances it."""

    now = 0.0

    def time(self) -> float:
        return self.now


@dataclasses.dataclass
class Harness:
    """A batcher over real workers and a real session that can be blocked; records batches and inferences."""

    batcher: Batcher
    admission: Admission
    classifier: Classifier
    sizes: list[int]
    gate: threading.Event
    inferred: list[int]

    def tensor(self, colour: int = 0, count: int = 4) -> asyncio.Task[Outcome]:
        values = np.zeros(self.classifier.input_shape, np.float32)
        values[colour] = 1
        return asyncio.ensure_future(self.batcher.infer(Lease(), Prepared(values, count)))

    async def busy(self) -> asyncio.Task[Outcome]:
        """Close the gate, and return a request whose inference is blocked by it."""
        self.gate.clear()
        task = self.tensor()
        await until(lambda: self.inferred == [1])
        return task

    def image(self, colour: str = "red") -> asyncio.Task[Outcome]:
        return self.file(image_bytes(colour))

    def file(self, data: bytes) -> asyncio.Task[Outcome]:
        header = image_headers.read(data)
        return asyncio.ensure_future(self.batcher.classify(Lease(), header, 4, peak=50_000))

    def pass_time(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ManualLoop)
        loop.now += seconds

    @property
    def idle(self) -> bool:
        room = self.admission
        counts = (room.waiting, room.running, room.workers.free, room.pixels.free)
        return counts == (0, 0, room.workers.capacity, CAPACITY)


@dataclasses.dataclass
class BlockedDecodings:
    """Decodings blocked until they are released, in the order of their start."""

    started: list[threading.Event] = dataclasses.field(default_factory=list)

    def release(self) -> None:
        for event in self.started:
            event.set()


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0)


async def settle() -> None:
    """Let the loop run everything that needs neither a thread nor a timer."""
    for _ in range(20):
        await asyncio.sleep(0)


def run(test: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=ManualLoop) as runner:
        runner.run(test)
