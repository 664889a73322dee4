"""What each member of a batch gets, and that none harms another."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING

import numpy as np
import pytest
from imageclassifier_runtime.errors import TensorError, UnavailableError
from imageclassifier_runtime.inference import image_headers
from imageclassifier_runtime.inference.pipeline import Outcome, Prepared
from imageclassifier_runtime.inference.session import Session
from imageclassifier_runtime.scheduling.resource_pools import Lease

from tests.unit.runtime.scheduling.batching.harness import CAPACITY, Bench, run, settle, until
from tests.unit.runtime.support import LABELS, image_bytes

if TYPE_CHECKING:
    from collections.abc import Callable


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


def test_each_member_gets_its_own_classes_count_and_the_time_of_the_whole_inference(
    make_bench: Callable[..., Bench],
) -> None:
    async def body() -> None:
        bench = make_bench(workers=1)
        first = await bench.busy()
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
        first = await bench.busy()
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
        first = await bench.busy()
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
        first = await bench.busy()
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


def test_those_that_wait_fill_the_queue(make_bench: Callable[..., Bench]) -> None:
    async def body() -> None:
        bench = make_bench(workers=1, most=2, max_queue=2)
        runs = await bench.busy()
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
            if not bench.admission.running:  # else a slow thread would meet deadlines that only this clock knows
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
        header = image_headers.read(image_bytes("lime"))
        outcome = await bench.batcher.classify(Lease(), header, 4, peak=CAPACITY)
        assert outcome.predictions[0].class_name == "lime"
        assert bench.idle

    run(body())
