"""When a batch is due, and which inputs are in it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.unit.runtime.scheduling.batching.harness import DELAY, BlockedDecodings, Harness, run, settle, until
from tests.unit.runtime.support import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_single_tensor_does_not_wait(make_harness: Callable[..., Harness]) -> None:
    async def body() -> None:
        harness = make_harness()
        outcome = await harness.tensor(2)
        assert outcome.predictions[0].class_name == LABELS[2]
        assert harness.sizes == [1]
        assert harness.idle

    run(body())


def test_a_single_image_is_inferred_in_the_worker_that_decoded_it(make_harness: Callable[..., Harness]) -> None:
    async def body() -> None:
        harness, submitted = make_harness(), 0
        plain = harness.admission.start

        def start(*arguments: object) -> None:
            nonlocal submitted
            submitted += 1
            plain(*arguments)  # type: ignore[arg-type]

        harness.admission.start = start  # type: ignore[method-assign, assignment]
        outcome = await harness.image("blue")
        assert outcome.predictions[0].class_name == "blue"
        assert set(outcome.seconds) == {"decode", "preprocess", "inference", "postprocess"}
        assert (submitted, harness.sizes) == (1, [1])
        assert harness.idle

    run(body())


def test_an_input_waits_for_an_image_being_prepared_and_shares_its_batch(
    make_harness: Callable[..., Harness], decodings: BlockedDecodings
) -> None:
    async def body() -> None:
        harness = make_harness()
        image = harness.image("lime")
        await until(lambda: len(decodings.started) == 1)
        tensor = harness.tensor(2)
        await settle()
        assert (harness.sizes, harness.admission.waiting) == ([], 1)
        decodings.release()
        outcomes = await asyncio.gather(image, tensor)
        assert [outcome.predictions[0].class_name for outcome in outcomes] == ["lime", "blue"]
        assert harness.sizes == [2]
        assert harness.idle

    run(body())


def test_the_oldest_input_waits_at_most_the_delay(
    make_harness: Callable[..., Harness], decodings: BlockedDecodings
) -> None:
    async def body() -> None:
        harness = make_harness()
        image = harness.image()
        await until(lambda: len(decodings.started) == 1)
        first = harness.tensor()
        await settle()
        harness.pass_time(DELAY - 1)
        second = harness.tensor()
        await settle()
        assert harness.sizes == []
        harness.pass_time(1)
        await asyncio.gather(first, second)
        assert harness.sizes == [2]
        decodings.release()
        await image
        assert harness.sizes == [2, 1]
        assert harness.idle

    run(body())


def test_a_timer_that_fires_slightly_early_flushes_the_batch(
    make_harness: Callable[..., Harness], decodings: BlockedDecodings
) -> None:
    async def body() -> None:
        harness = make_harness()
        asyncio.get_running_loop()._clock_resolution = 0.1  # type: ignore[attr-defined]
        image = harness.image()
        await until(lambda: len(decodings.started) == 1)
        tensor = harness.tensor()
        await settle()
        harness.pass_time(DELAY - 0.05)
        await until(tensor.done)
        decodings.release()
        await asyncio.gather(image, tensor)

    run(body())


def test_a_later_input_has_its_own_delay(
    make_harness: Callable[..., Harness], decodings: BlockedDecodings
) -> None:
    async def body() -> None:
        harness = make_harness(max_batch=2)
        image = harness.image()
        await until(lambda: len(decodings.started) == 1)
        first = harness.tensor()
        await settle()
        harness.pass_time(DELAY - 1)
        others = [harness.tensor(), harness.tensor()]
        await asyncio.gather(first, others[0])  # full
        assert harness.sizes == [2]
        harness.pass_time(1)  # the remaining delay of the first
        await settle()
        assert harness.sizes == [2]
        harness.pass_time(DELAY - 1)
        await others[1]
        assert harness.sizes == [2, 1]
        decodings.release()
        await image

    run(body())


def test_inputs_do_not_wait_for_an_image_that_is_inferred_alone(make_harness: Callable[..., Harness]) -> None:
    async def body() -> None:
        harness = make_harness()
        harness.gate.clear()
        image = harness.image()
        await until(lambda: harness.inferred == [1])
        tensor = harness.tensor()
        await until(lambda: harness.inferred == [1, 1])  # concurrently, in the other worker
        harness.gate.set()
        await asyncio.gather(image, tensor)
        assert harness.idle

    run(body())


def test_a_batch_grows_while_all_workers_are_busy(make_harness: Callable[..., Harness]) -> None:
    async def body() -> None:
        harness = make_harness(max_batch=4, workers=1)
        harness.gate.clear()
        tensors = [harness.tensor(0)]
        await until(lambda: harness.inferred == [1])
        tensors += [harness.tensor(number % 3) for number in range(1, 8)]
        await settle()
        assert harness.admission.waiting == 7
        harness.gate.set()
        outcomes = await asyncio.gather(*tensors)
        assert harness.inferred == [1, 4, 3]
        assert [outcome.predictions[0].class_id for outcome in outcomes] == [0, 1, 2, 0, 1, 2, 0, 1]
        assert harness.idle

    run(body())


def test_a_batch_gets_a_worker_ahead_of_undecoded_images(
    make_harness: Callable[..., Harness], decodings: BlockedDecodings
) -> None:
    async def body() -> None:
        harness = make_harness(max_batch=2, workers=1)
        running = await harness.busy()
        images = [harness.image(), harness.image()]
        await settle()
        late = [harness.tensor(), harness.tensor()]
        await settle()
        harness.gate.set()
        await asyncio.gather(running, *late)
        assert harness.sizes == [1, 2]
        for number in range(2):
            await until(lambda count=number + 1: len(decodings.started) == count)  # type: ignore[misc]
            decodings.release()
        await asyncio.gather(*images)
        assert harness.idle

    run(body())
