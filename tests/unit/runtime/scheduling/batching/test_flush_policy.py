"""When a batch is due, and who is in it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.unit.runtime.scheduling.batching.harness import DELAY, Bench, Held, run, settle, until
from tests.unit.runtime.support import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable


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
        running = await bench.busy()
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
