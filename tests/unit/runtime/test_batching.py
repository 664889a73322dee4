"""When a batch is due, who is in it, and that no member of one harms another."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import threading
import time
import weakref
from typing import TYPE_CHECKING

import numpy as np
import pytest
from imageclassifier_runtime.admission import Admission, Sizes
from imageclassifier_runtime.batching import Batcher
from imageclassifier_runtime.errors import ImageUndecodableError, TensorError, UnavailableError
from imageclassifier_runtime.model import folder as model_folder
from imageclassifier_runtime.pipeline import Classifier, Outcome, Prepared
from imageclassifier_runtime.pools import Lease
from imageclassifier_runtime.stages import containers, decode
from imageclassifier_runtime.stages.infer import Session
from imageclassifier_runtime.workers import Workers

from tests.unit.runtime.support import LABELS, image_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from imageclassifier_runtime.stages.containers import Container
    from PIL import Image

DELAY = 5.0
PATIENCE = 100.0
LIMIT = 1000.0
CAPACITY = 1 << 20
ROOM = 2 * 4 * 3 * 32 * 32


class ManualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still until a test moves it."""

    now = 0.0

    def time(self) -> float:
        return self.now


@dataclasses.dataclass
class Bench:
    """A batcher over real workers and a real session that can be held shut, and what it did."""

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

    def image(self, colour: str = "red") -> asyncio.Task[Outcome]:
        return self.file(image_bytes(colour))

    def file(self, data: bytes) -> asyncio.Task[Outcome]:
        container = containers.read(data)
        return asyncio.ensure_future(self.batcher.classify(Lease(), container, 4, peak=50_000))

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
class Held:
    """Decodings that wait until they are let go, in the order of their start."""

    started: list[threading.Event] = dataclasses.field(default_factory=list)

    def let_go(self) -> None:
        for event in self.started:
            event.set()


@pytest.fixture(scope="module")
def classifier(model_path: Path) -> Classifier:
    return Classifier.load(model_folder.load(model_path), threads=2)


@pytest.fixture
def make_bench(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bench]]:
    """Return a function that makes a bench; its session runs while the gate is open."""
    gate, started, inferred = threading.Event(), [], []
    plain: Callable[[Session, np.ndarray], np.ndarray] = Session.run

    def run(self: Session, batch: np.ndarray) -> np.ndarray:
        inferred.append(len(batch))
        assert gate.wait(60)
        return plain(self, batch)

    monkeypatch.setattr(Session, "run", run)
    gate.set()

    def make(*, most: int = 4, workers: int = 2, max_queue: int = 64) -> Bench:
        threads = Workers(workers)
        started.append(threads)
        room = Admission(
            sizes=Sizes(bodies=100, pixels=CAPACITY), workers=threads, max_queue=max_queue, queue_timeout=PATIENCE
        )
        sizes: list[int] = []
        batcher = Batcher(room, classifier, most=most, delay=DELAY, limit=LIMIT, observe=sizes.append)
        return Bench(batcher, room, classifier, sizes, gate, inferred)

    yield make
    gate.set()
    for threads in started:
        threads.shutdown()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """Hold every decoding until it is let go."""
    found = Held()

    def slow(container: Container) -> Image.Image:
        event = threading.Event()
        found.started.append(event)
        assert event.wait(60)
        return decode.decode(container)

    monkeypatch.setattr("imageclassifier_runtime.pipeline.decode", slow)
    yield found
    found.let_go()


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0)


async def settle() -> None:
    """Let the loop do all that it can do without a thread or a timer."""
    for _ in range(20):
        await asyncio.sleep(0)


def run(test: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=ManualLoop) as runner:
        runner.run(test)


def test_a_tensor_with_nobody_else_on_the_way_does_not_wait(make_bench: Callable[..., Bench]) -> None:
    async def body() -> None:
        bench = make_bench()
        outcome = await bench.tensor(2)
        assert outcome.predictions[0].class_name == LABELS[2]
        assert bench.sizes == [1]
        assert bench.idle

    run(body())


def test_an_image_alone_is_inferred_where_it_was_decoded(make_bench: Callable[..., Bench]) -> None:
    async def body() -> None:
        bench, submitted = make_bench(), 0
        plain = bench.admission.start

        def start(*arguments: object) -> None:
            nonlocal submitted
            submitted += 1
            plain(*arguments)  # type: ignore[arg-type]

        bench.admission.start = start  # type: ignore[method-assign, assignment]
        outcome = await bench.image("blue")
        assert outcome.predictions[0].class_name == "blue"
        assert set(outcome.seconds) == {"decode", "preprocess", "inference", "postprocess"}
        assert (submitted, bench.sizes) == (1, [1])
        assert bench.idle

    run(body())


def test_one_that_waits_for_another_on_the_way_goes_with_it(make_bench: Callable[..., Bench], held: Held) -> None:
    async def body() -> None:
        bench = make_bench()
        image = bench.image("lime")
        await until(lambda: len(held.started) == 1)
        tensor = bench.tensor(2)
        await settle()
        assert (bench.sizes, bench.admission.waiting) == ([], 1)
        held.let_go()
        outcomes = await asyncio.gather(image, tensor)
        assert [outcome.predictions[0].class_name for outcome in outcomes] == ["lime", "blue"]
        assert bench.sizes == [2]
        assert bench.idle

    run(body())


def test_the_oldest_waits_no_longer_than_the_delay(make_bench: Callable[..., Bench], held: Held) -> None:
    async def body() -> None:
        bench = make_bench()
        image = bench.image()
        await until(lambda: len(held.started) == 1)
        first = bench.tensor()
        await settle()
        bench.pass_time(DELAY - 1)
        second = bench.tensor()
        await settle()
        assert bench.sizes == []
        bench.pass_time(1)
        await asyncio.gather(first, second)
        assert bench.sizes == [2]
        held.let_go()
        await image
        assert bench.sizes == [2, 1]
        assert bench.idle

    run(body())


def test_a_timer_that_comes_a_little_early_is_taken_for_the_time(
    make_bench: Callable[..., Bench], held: Held
) -> None:
    async def body() -> None:
        bench = make_bench()
        asyncio.get_running_loop()._clock_resolution = 0.1  # type: ignore[attr-defined]
        image = bench.image()
        await until(lambda: len(held.started) == 1)
        tensor = bench.tensor()
        await settle()
        bench.pass_time(DELAY - 0.05)
        await until(tensor.done)
        held.let_go()
        await asyncio.gather(image, tensor)

    run(body())


def test_a_later_one_has_a_delay_of_its_own(make_bench: Callable[..., Bench], held: Held) -> None:
    async def body() -> None:
        bench = make_bench(most=2)
        image = bench.image()
        await until(lambda: len(held.started) == 1)
        first = bench.tensor()
        await settle()
        bench.pass_time(DELAY - 1)
        others = [bench.tensor(), bench.tensor()]
        await asyncio.gather(first, others[0])  # full
        assert bench.sizes == [2]
        bench.pass_time(1)  # what the first would have waited
        await settle()
        assert bench.sizes == [2]
        bench.pass_time(DELAY - 1)
        await others[1]
        assert bench.sizes == [2, 1]
        held.let_go()
        await image

    run(body())


@pytest.mark.parametrize("broken", [True, False])
def test_one_who_waited_for_an_image_that_never_joins_goes_at_once(
    make_bench: Callable[..., Bench], held: Held, broken: bool
) -> None:
    async def body() -> None:
        bench = make_bench()
        image = bench.file(image_bytes()[:60] if broken else image_bytes())
        await until(lambda: len(held.started) == 1)
        tensor = bench.tensor()
        await settle()
        assert bench.sizes == []
        if broken:
            held.let_go()
            with pytest.raises(ImageUndecodableError):
                await image
        else:
            image.cancel()
            with pytest.raises(asyncio.CancelledError):
                await image
        await tensor
        assert bench.sizes == [1]
        held.let_go()
        await until(lambda: bench.idle)

    run(body())


def test_an_image_given_up_while_it_was_decoded_is_not_looked_for_afterwards(
    make_bench: Callable[..., Bench], held: Held
) -> None:
    async def body() -> None:
        bench = make_bench()
        late = bench.image()
        await until(lambda: len(held.started) == 1)
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late
        held.let_go()  # only now the thread finds the image alone
        await until(lambda: bench.idle)
        image = bench.image()
        await until(lambda: len(held.started) == 2)
        tensor = bench.tensor()
        await settle()
        assert bench.sizes == []  # it waits for the one that is coming
        held.let_go()
        await asyncio.gather(image, tensor)
        assert bench.sizes == [2]

    run(body())


def test_a_tensor_that_fails_is_gone_with_its_answer(make_bench: Callable[..., Bench]) -> None:
    async def body() -> None:
        bench = make_bench()
        values = np.full(bench.classifier.input_shape, np.nan, np.float32)
        held = weakref.ref(values)
        answer = asyncio.ensure_future(bench.batcher.infer(Lease(), Prepared(values, 4)))
        del values
        with pytest.raises(TensorError):
            await answer
        del answer
        await until(lambda: held() is None)

    gc.disable()
    try:
        run(body())
    finally:
        gc.enable()


def test_nobody_waits_for_an_image_that_is_being_inferred_alone(make_bench: Callable[..., Bench]) -> None:
    async def body() -> None:
        bench = make_bench()
        bench.gate.clear()
        image = bench.image()
        await until(lambda: bench.inferred == [1])
        tensor = bench.tensor()
        await until(lambda: bench.inferred == [1, 1])  # beside it, in the other worker
        bench.gate.set()
        await asyncio.gather(image, tensor)
        assert bench.idle

    run(body())


def test_while_the_workers_are_busy_a_batch_grows_until_it_is_full(make_bench: Callable[..., Bench]) -> None:
    async def body() -> None:
        bench = make_bench(most=4, workers=1)
        bench.gate.clear()
        tensors = [bench.tensor(0)]
        await until(lambda: bench.inferred == [1])
        tensors += [bench.tensor(number % 3) for number in range(1, 8)]
        await settle()
        assert bench.admission.waiting == 7
        bench.gate.set()
        outcomes = await asyncio.gather(*tensors)
        assert bench.inferred == [1, 4, 3]
        assert [outcome.predictions[0].class_id for outcome in outcomes] == [0, 1, 2, 0, 1, 2, 0, 1]
        assert bench.idle

    run(body())


def test_a_batch_gets_a_worker_before_images_that_are_not_decoded(
    make_bench: Callable[..., Bench], held: Held
) -> None:
    async def body() -> None:
        bench = make_bench(most=2, workers=1)
        bench.gate.clear()
        running = bench.tensor()
        await until(lambda: bench.inferred == [1])
        images = [bench.image(), bench.image()]
        await settle()
        late = [bench.tensor(), bench.tensor()]
        await settle()
        bench.gate.set()
        await asyncio.gather(running, *late)
        assert bench.sizes == [1, 2]
        for number in range(2):
            await until(lambda wanted=number + 1: len(held.started) == wanted)  # type: ignore[misc]
            held.let_go()
        await asyncio.gather(*images)
        assert bench.idle

    run(body())


def test_each_member_gets_its_own_classes_count_and_the_time_of_the_whole_inference(
    make_bench: Callable[..., Bench],
) -> None:
    async def body() -> None:
        bench = make_bench(workers=1)
        bench.gate.clear()
        first = bench.tensor()
        await until(lambda: bench.inferred == [1])
        one, two = bench.tensor(1, count=1), bench.tensor(2, count=3)
        await settle()
        bench.gate.set()
        await first
        outcomes = await asyncio.gather(one, two)
        assert [[entry.class_id for entry in outcome.predictions[:1]] for outcome in outcomes] == [[1], [2]]
        assert [len(outcome.predictions) for outcome in outcomes] == [1, 3]
        assert outcomes[0].seconds["inference"] == outcomes[1].seconds["inference"] > 0
        assert outcomes[0].scores.base is None  # the scores of the others do not live on with it

    run(body())


def test_a_tensor_that_is_not_finite_fails_alone(make_bench: Callable[..., Bench]) -> None:
    async def body() -> None:
        bench = make_bench(workers=1)
        bench.gate.clear()
        first = bench.tensor()
        await until(lambda: bench.inferred == [1])
        bad = Prepared(np.full(bench.classifier.input_shape, np.nan, np.float32), 4)
        tasks = [bench.tensor(1), asyncio.ensure_future(bench.batcher.infer(Lease(), bad)), bench.tensor(2)]
        await settle()
        bench.gate.set()
        await first
        good, failed, other = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(failed, TensorError)
        assert isinstance(good, Outcome)
        assert isinstance(other, Outcome)
        assert [good.predictions[0].class_id, other.predictions[0].class_id] == [1, 2]
        assert bench.inferred == [1, 2]
        assert bench.idle

    run(body())


def test_scores_that_overflow_fail_their_own_member(make_bench: Callable[..., Bench]) -> None:
    async def body() -> None:
        bench = make_bench(workers=1)
        bench.gate.clear()
        first = bench.tensor()
        await until(lambda: bench.inferred == [1])
        huge = Prepared(np.full(bench.classifier.input_shape, 3e38, np.float32), 4)
        tasks = [asyncio.ensure_future(bench.batcher.infer(Lease(), huge)), bench.tensor(2)]
        await settle()
        bench.gate.set()
        await first
        failed, good = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(failed, TensorError)
        assert isinstance(good, Outcome)
        assert good.predictions[0].class_id == 2

    run(body())


def test_of_a_batch_that_the_session_refuses_only_the_culprit_fails(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    class RefusedError(Exception):
        pass

    plain = Session.run

    def picky(self: Session, batch: np.ndarray) -> np.ndarray:
        if (batch[:, 1] == 1).any():
            raise RefusedError
        return plain(self, batch)

    async def body() -> None:
        bench = make_bench(workers=1)
        bench.gate.clear()
        first = bench.tensor()
        await until(lambda: bench.inferred == [1])
        tasks = [bench.tensor(0), bench.tensor(1), bench.tensor(2)]
        await settle()
        monkeypatch.setattr(Session, "run", picky)
        bench.gate.set()
        await first
        one, failed, other = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(failed, RefusedError)
        assert isinstance(one, Outcome)
        assert isinstance(other, Outcome)
        assert [one.predictions[0].class_id, other.predictions[0].class_id] == [0, 2]
        assert bench.idle

    run(body())


def test_one_that_is_cancelled_while_it_waits_leaves_its_place(make_bench: Callable[..., Bench]) -> None:
    async def body() -> None:
        bench = make_bench(workers=1)
        bench.gate.clear()
        first = bench.tensor()
        await until(lambda: bench.inferred == [1])
        gone, stays = bench.tensor(1), bench.tensor(2)
        await settle()
        gone.cancel()
        await settle()
        assert (bench.admission.waiting, bench.admission.pixels.free) == (1, CAPACITY - 2 * ROOM)
        bench.gate.set()
        await first
        assert (await stays).predictions[0].class_id == 2
        assert bench.inferred == [1, 1]
        assert bench.idle

    run(body())


def test_one_that_goes_as_its_batch_is_made_up_is_not_in_it(make_bench: Callable[..., Bench]) -> None:
    async def body() -> None:
        bench = make_bench(workers=1)
        await bench.admission.workers.acquire(1, 1)
        gone, stays = bench.tensor(1), bench.tensor(2)
        await settle()
        bench.admission.workers.release(1)  # the batch is about to be made up
        gone.cancel()  # and its task has yet to hear of it
        assert (await stays).predictions[0].class_id == 2
        assert gone.cancelled()
        assert bench.inferred == [1]
        assert bench.idle

    run(body())


def test_where_all_that_waited_have_gone_the_worker_is_given_back(make_bench: Callable[..., Bench]) -> None:
    async def body() -> None:
        bench = make_bench(workers=1)
        bench.gate.clear()
        first = bench.tensor()
        await until(lambda: bench.inferred == [1])
        gone = bench.tensor(1)
        await settle()
        gone.cancel()
        await settle()
        bench.gate.set()
        await first
        await until(lambda: bench.idle)
        assert (await bench.tensor(2)).predictions[0].class_id == 2

    run(body())


def test_one_that_goes_in_the_midst_of_its_batch_keeps_its_room_taken_and_harms_no_other(
    make_bench: Callable[..., Bench], held: Held
) -> None:
    async def body() -> None:
        bench = make_bench()
        image = bench.image()
        await until(lambda: len(held.started) == 1)
        bench.gate.clear()
        tensors = [bench.tensor(1), bench.tensor(2)]
        await settle()
        bench.pass_time(DELAY)
        await until(lambda: bench.inferred == [2])
        tensors[0].cancel()
        await settle()
        assert tensors[0].cancelled()
        assert bench.admission.pixels.free == CAPACITY - 50_000 - 3 * ROOM
        bench.gate.set()
        assert (await tensors[1]).predictions[0].class_id == 2
        held.let_go()
        await image
        assert bench.idle

    run(body())


def test_waiting_and_inference_have_each_an_end(make_bench: Callable[..., Bench]) -> None:
    async def body() -> None:
        bench = make_bench(workers=1)
        bench.gate.clear()
        runs = bench.tensor()
        await until(lambda: bench.inferred == [1])
        waits = bench.tensor()
        await settle()
        bench.pass_time(PATIENCE)
        with pytest.raises(UnavailableError) as caught:
            await waits
        assert caught.value.reason == "queue-timeout"
        bench.pass_time(LIMIT - PATIENCE)
        with pytest.raises(UnavailableError) as caught:
            await runs
        assert caught.value.reason == "work-timeout"
        assert (bench.admission.workers.free, bench.admission.pixels.free) == (0, CAPACITY - ROOM)
        bench.gate.set()
        await until(lambda: bench.idle)

    run(body())


def test_those_that_wait_fill_the_queue(make_bench: Callable[..., Bench]) -> None:
    async def body() -> None:
        bench = make_bench(workers=1, most=2, max_queue=2)
        bench.gate.clear()
        runs = bench.tensor()
        await until(lambda: bench.inferred == [1])
        waiting = [bench.tensor(), bench.tensor()]
        await settle()
        for late in (bench.tensor(), bench.image()):
            with pytest.raises(UnavailableError) as caught:
                await late
            assert caught.value.reason == "queue-full"
        bench.gate.set()
        await asyncio.gather(runs, *waiting)
        assert bench.idle

    run(body())


def test_images_and_tensors_in_any_order_leave_nothing_taken(make_bench: Callable[..., Bench]) -> None:
    async def body() -> None:
        bench = make_bench()
        random = np.random.default_rng(0)
        tasks, wanted = [], []
        for _ in range(60):
            colour = int(random.integers(3))
            wanted.append(colour)
            tasks.append(bench.tensor(colour) if random.integers(2) else bench.image(LABELS[colour]))
            if random.integers(4) == 0:
                await settle()
            bench.pass_time(float(random.integers(3)))
        while not all(task.done() for task in tasks):
            bench.pass_time(0.01)
            await asyncio.sleep(0)
        assert [task.result().predictions[0].class_id for task in tasks] == wanted
        assert sum(bench.sizes) == 60
        assert max(bench.sizes) > 1
        await until(lambda: bench.idle)

    run(body())


def test_the_largest_image_that_fits_goes_without_a_batch(make_bench: Callable[..., Bench]) -> None:
    async def body() -> None:
        bench = make_bench()
        container = containers.read(image_bytes("lime"))
        outcome = await bench.batcher.classify(Lease(), container, 4, peak=CAPACITY)
        assert outcome.predictions[0].class_name == "lime"
        assert bench.idle

    run(body())
