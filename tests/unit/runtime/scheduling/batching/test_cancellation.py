"""Members that time out or are cancelled, and the memory that they release."""

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
    BlockedDecodings,
    Harness,
    run,
    settle,
    until,
)
from tests.unit.runtime.support import image_bytes

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("broken", [True, False])
def test_a_batch_is_flushed_when_the_image_it_waited_for_fails(
    make_harness: Callable[..., Harness], decodings: BlockedDecodings, broken: bool
) -> None:
    async def body() -> None:
        harness = make_harness()
        image = harness.file(image_bytes()[:60] if broken else image_bytes())
        await until(lambda: len(decodings.started) == 1)
        tensor = harness.tensor()
        await settle()
        assert harness.sizes == []
        if broken:
            decodings.release()
            with pytest.raises(ImageUndecodableError):
                await image
        else:
            image.cancel()
            with pytest.raises(asyncio.CancelledError):
                await image
        await tensor
        assert harness.sizes == [1]
        decodings.release()
        await until(lambda: harness.idle)

    run(body())


def test_an_image_that_timed_out_while_decoding_is_not_waited_for(
    make_harness: Callable[..., Harness], decodings: BlockedDecodings
) -> None:
    async def body() -> None:
        harness = make_harness()
        late = harness.image()
        await until(lambda: len(decodings.started) == 1)
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late
        decodings.release()  # only now the thread finds that the image is alone
        await until(lambda: harness.idle)
        image = harness.image()
        await until(lambda: len(decodings.started) == 2)
        tensor = harness.tensor()
        await settle()
        assert harness.sizes == []  # it waits for the image that is being prepared
        decodings.release()
        await asyncio.gather(image, tensor)
        assert harness.sizes == [2]

    run(body())


def test_a_member_cancelled_while_waiting_leaves_the_queue(make_harness: Callable[..., Harness]) -> None:
    async def body() -> None:
        harness = make_harness(workers=1)
        first = await harness.busy()
        withdrawn, remaining = harness.tensor(1), harness.tensor(2)
        await settle()
        withdrawn.cancel()
        await settle()
        assert (harness.admission.waiting, harness.admission.pixels.free) == (1, CAPACITY - 2 * ROOM)
        harness.gate.set()
        await first
        assert (await remaining).predictions[0].class_id == 2
        assert harness.inferred == [1, 1]
        assert harness.idle

    run(body())


def test_a_member_cancelled_while_its_batch_is_assembled_is_left_out(make_harness: Callable[..., Harness]) -> None:
    async def body() -> None:
        harness = make_harness(workers=1)
        await harness.admission.workers.acquire(1, 1)
        withdrawn, remaining = harness.tensor(1), harness.tensor(2)
        await settle()
        harness.admission.workers.release(1)  # the batch is about to be assembled
        withdrawn.cancel()  # its task has not run yet
        assert (await remaining).predictions[0].class_id == 2
        assert withdrawn.cancelled()
        assert harness.inferred == [1]
        assert harness.idle

    run(body())


def test_the_worker_is_released_if_all_members_were_cancelled(make_harness: Callable[..., Harness]) -> None:
    async def body() -> None:
        harness = make_harness(workers=1)
        first = await harness.busy()
        withdrawn = harness.tensor(1)
        await settle()
        withdrawn.cancel()
        await settle()
        harness.gate.set()
        await first
        await until(lambda: harness.idle)
        assert (await harness.tensor(2)).predictions[0].class_id == 2

    run(body())


def test_a_member_cancelled_during_inference_keeps_its_memory_and_does_not_affect_others(
    make_harness: Callable[..., Harness], decodings: BlockedDecodings
) -> None:
    async def body() -> None:
        harness = make_harness()
        image = harness.image()
        await until(lambda: len(decodings.started) == 1)
        harness.gate.clear()
        tensors = [harness.tensor(1), harness.tensor(2)]
        await settle()
        harness.pass_time(DELAY)
        await until(lambda: harness.inferred == [2])
        tensors[0].cancel()
        await settle()
        assert tensors[0].cancelled()
        assert harness.admission.pixels.free == CAPACITY - 50_000 - 3 * ROOM
        harness.gate.set()
        assert (await tensors[1]).predictions[0].class_id == 2
        decodings.release()
        await image
        assert harness.idle

    run(body())


def test_waiting_and_inference_each_time_out(make_harness: Callable[..., Harness]) -> None:
    async def body() -> None:
        harness = make_harness(workers=1)
        runs = await harness.busy()
        waits = harness.tensor()
        await settle()
        harness.pass_time(PATIENCE)
        with pytest.raises(UnavailableError) as caught:
            await waits
        assert caught.value.reason == "queue-timeout"
        harness.pass_time(LIMIT - PATIENCE)
        with pytest.raises(UnavailableError) as caught:
            await runs
        assert caught.value.reason == "work-timeout"
        assert (harness.admission.workers.free, harness.admission.pixels.free) == (0, CAPACITY - ROOM)
        harness.gate.set()
        await until(lambda: harness.idle)

    run(body())
