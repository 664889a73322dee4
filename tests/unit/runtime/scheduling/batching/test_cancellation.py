"""Members that give up or go, and the room that they leave."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.errors import ImageUndecodableError, UnavailableError

from tests.unit.runtime.scheduling.batching.harness import (
    CAPACITY,
    DELAY,
    LIMIT,
    PATIENCE,
    ROOM,
    Bench,
    Held,
    run,
    settle,
    until,
)
from tests.unit.runtime.support import image_bytes

if TYPE_CHECKING:
    from collections.abc import Callable


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


def test_one_that_is_cancelled_while_it_waits_leaves_its_place(make_bench: Callable[..., Bench]) -> None:
    async def body() -> None:
        bench = make_bench(workers=1)
        first = await bench.busy()
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
        first = await bench.busy()
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
        runs = await bench.busy()
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
