"""The outcome of each member of a batch; members do not affect each other."""

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

from tests.unit.runtime.scheduling.batching.harness import CAPACITY, Harness, run, settle, until
from tests.unit.runtime.support import LABELS, image_bytes

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_failed_tensor_is_freed_with_its_response(make_harness: Callable[..., Harness]) -> None:
    async def body() -> None:
        harness = make_harness()
        values = np.full(harness.classifier.input_shape, np.nan, np.float32)
        decodings = weakref.ref(values)
        answer = asyncio.ensure_future(harness.batcher.infer(Lease(), Prepared(values, 4)))
        del values
        with pytest.raises(TensorError):
            await answer
        del answer
        await until(lambda: decodings() is None)

    gc.disable()
    try:
        run(body())
    finally:
        gc.enable()


def test_each_member_gets_its_own_classes_and_the_time_of_the_whole_inference(
    make_harness: Callable[..., Harness],
) -> None:
    async def body() -> None:
        harness = make_harness(workers=1)
        first = await harness.busy()
        one, two = harness.tensor(1, count=1), harness.tensor(2, count=3)
        await settle()
        harness.gate.set()
        await first
        outcomes = await asyncio.gather(one, two)
        assert [[entry.class_id for entry in outcome.predictions[:1]] for outcome in outcomes] == [[1], [2]]
        assert [len(outcome.predictions) for outcome in outcomes] == [1, 3]
        assert outcomes[0].seconds["inference"] == outcomes[1].seconds["inference"] > 0
        assert outcomes[0].scores.base is None  # does not keep the scores of the whole batch in memory

    run(body())


def test_only_the_tensor_that_is_not_finite_fails(make_harness: Callable[..., Harness]) -> None:
    async def body() -> None:
        harness = make_harness(workers=1)
        first = await harness.busy()
        bad = Prepared(np.full(harness.classifier.input_shape, np.nan, np.float32), 4)
        tasks = [harness.tensor(1), asyncio.ensure_future(harness.batcher.infer(Lease(), bad)), harness.tensor(2)]
        await settle()
        harness.gate.set()
        await first
        good, failed, other = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(failed, TensorError)
        assert isinstance(good, Outcome)
        assert isinstance(other, Outcome)
        assert [good.predictions[0].class_id, other.predictions[0].class_id] == [1, 2]
        assert harness.inferred == [1, 2]
        assert harness.idle

    run(body())


def test_overflowing_scores_fail_only_their_member(make_harness: Callable[..., Harness]) -> None:
    async def body() -> None:
        harness = make_harness(workers=1)
        first = await harness.busy()
        huge = Prepared(np.full(harness.classifier.input_shape, 3e38, np.float32), 4)
        tasks = [asyncio.ensure_future(harness.batcher.infer(Lease(), huge)), harness.tensor(2)]
        await settle()
        harness.gate.set()
        await first
        failed, good = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(failed, TensorError)
        assert isinstance(good, Outcome)
        assert good.predictions[0].class_id == 2

    run(body())


def test_only_the_member_that_the_session_rejects_fails(
    make_harness: Callable[..., Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    class RefusedError(Exception):
        pass

    plain = Session.run

    def picky(self: Session, batch: np.ndarray) -> np.ndarray:
        if (batch[:, 1] == 1).any():
            raise RefusedError
        return plain(self, batch)

    async def body() -> None:
        harness = make_harness(workers=1)
        first = await harness.busy()
        tasks = [harness.tensor(0), harness.tensor(1), harness.tensor(2)]
        await settle()
        monkeypatch.setattr(Session, "run", picky)
        harness.gate.set()
        await first
        one, failed, other = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(failed, RefusedError)
        assert isinstance(one, Outcome)
        assert isinstance(other, Outcome)
        assert [one.predictions[0].class_id, other.predictions[0].class_id] == [0, 2]
        assert harness.idle

    run(body())


def test_waiting_members_count_towards_the_queue(make_harness: Callable[..., Harness]) -> None:
    async def body() -> None:
        harness = make_harness(workers=1, max_batch=2, max_queue=2)
        runs = await harness.busy()
        waiting = [harness.tensor(), harness.tensor()]
        await settle()
        for late in (harness.tensor(), harness.image()):
            with pytest.raises(UnavailableError) as caught:
                await late
            assert caught.value.reason == "queue-full"
        harness.gate.set()
        await asyncio.gather(runs, *waiting)
        assert harness.idle

    run(body())


def test_images_and_tensors_in_any_order_release_all_resources(make_harness: Callable[..., Harness]) -> None:
    async def body() -> None:
        harness = make_harness()
        random = np.random.default_rng(0)
        tasks, expected = [], []
        for _ in range(60):
            colour = int(random.integers(3))
            expected.append(colour)
            tasks.append(harness.tensor(colour) if random.integers(2) else harness.image(LABELS[colour]))
            if random.integers(4) == 0:
                await settle()
            harness.pass_time(float(random.integers(3)))
        while not all(task.done() for task in tasks):
            if not harness.admission.running:  # otherwise a slow thread would exceed deadlines of the manual clock
                harness.pass_time(0.01)
            await asyncio.sleep(0)
        assert [task.result().predictions[0].class_id for task in tasks] == expected
        assert sum(harness.sizes) == 60
        assert max(harness.sizes) > 1
        await until(lambda: harness.idle)

    run(body())


def test_the_largest_image_that_fits_is_not_batched(make_harness: Callable[..., Harness]) -> None:
    async def body() -> None:
        harness = make_harness()
        header = image_headers.read(image_bytes("lime"))
        outcome = await harness.batcher.classify(Lease(), header, 4, peak=CAPACITY)
        assert outcome.predictions[0].class_name == "lime"
        assert harness.idle

    run(body())
