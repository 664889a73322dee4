"""A repeated image gets the same response from memory, without a worker."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from imageclassifier_runtime.cache.results import ResultCache
from imageclassifier_runtime.errors import ImageUndecodableError
from imageclassifier_runtime.inference.pipeline import Outcome
from imageclassifier_runtime.settings.cache import CacheSettings
from prometheus_client import CollectorRegistry

from tests.unit.runtime.cache.requests import PROTOCOLS, batch, content_of, lookups, metric, raw, v1
from tests.unit.runtime.support import Running, image_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from imageclassifier_runtime.protocols.state import ServerState

ON = CacheSettings(max_bytes=1 << 20)
PHOTO = image_bytes("#c04020", "JPEG", (90, 70))


@pytest.fixture
def cached(make_server: Callable[..., Running]) -> Running:
    return make_server(cache=ON)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_hit_equals_the_first_response_in_every_protocol(
    protocol: str, server: Running, cached: Running
) -> None:
    send = PROTOCOLS[protocol]
    without = await send(server, PHOTO)
    answers = [await send(cached, PHOTO) for _ in range(2)]
    assert [answer.headers["x-cache"] for answer in answers] == ["miss", "hit"]
    assert content_of(answers[0]) == content_of(answers[1]) == content_of(without)
    assert "x-cache" not in without.headers
    assert lookups(cached) == {"miss": 1, "hit": 1}


async def test_all_protocols_and_values_of_top_k_share_the_result(server: Running, cached: Running) -> None:
    await v1(cached, PHOTO)
    for count in (1, 3, 10):
        answer = await raw(cached, PHOTO, top_k=count)
        assert answer.headers["x-cache"] == "hit"
        assert content_of(answer) == content_of(await raw(server, PHOTO, top_k=count))


async def test_a_hit_needs_no_worker(make_server: Callable[..., Running]) -> None:
    cached = make_server(cache=ON, queue_timeout_seconds=0.5)
    await raw(cached, PHOTO)
    workers = cached.state.admission.workers
    await workers.acquire(workers.capacity, asyncio.get_running_loop().time() + 1)
    hit = await raw(cached, PHOTO)
    assert hit.headers["x-cache"] == "hit"
    assert {"cache", "postprocess"} <= set(hit.json()["timings_ms"])
    assert not {"decode", "inference"} & set(hit.json()["timings_ms"])
    assert (await raw(cached, image_bytes("blue"))).status_code == 503


async def test_a_batch_with_hits_and_misses_is_partial(cached: Running) -> None:
    await raw(cached, PHOTO)
    files = [("file", ("x", data)) for data in (PHOTO, image_bytes("blue"))]
    answer = await cached.client.post("/api/v1/classify/batch", files=files)
    assert answer.headers["x-cache"] == "partial"
    assert (await batch(cached, image_bytes("blue"))).headers["x-cache"] == "hit"


async def test_errors_are_not_cached(cached: Running) -> None:
    for _ in range(2):
        answer = await raw(cached, PHOTO[:-200])
        assert answer.status_code == 400
        assert "x-cache" not in answer.headers
    assert lookups(cached) == {"miss": 2}
    assert metric(cached, "cache_entries") == 0


async def test_a_tensor_is_not_looked_up(cached: Running) -> None:
    tensor = np.zeros((3, 32, 32)).tolist()
    answer = await cached.client.post("/v1/models/colours:predict", json={"instances": [tensor]})
    assert answer.status_code == 200
    assert "x-cache" not in answer.headers
    assert lookups(cached) == {}


async def test_entries_and_bytes_are_measured(cached: Running) -> None:
    await raw(cached, PHOTO)
    assert metric(cached, "cache_entries") == 1
    assert 100 < (metric(cached, "cache_bytes") or 0) < 1000


async def test_concurrent_equal_images_are_computed_once(cached: Running) -> None:
    answers = await asyncio.gather(*(raw(cached, PHOTO) for _ in range(8)))
    assert len({str(content_of(answer)) for answer in answers}) == 1
    assert lookups(cached) == {"miss": 1, "coalesced": 7}
    assert metric(cached, "stage_duration_seconds_count", stage="inference") == 1


async def test_a_full_cache_evicts_results(make_server: Callable[..., Running]) -> None:
    server = make_server(cache=CacheSettings(max_bytes=1000))
    for colour in ("red", "lime", "blue", "red"):
        assert (await raw(server, image_bytes(colour))).headers["x-cache"] == "miss"
    assert (metric(server, "cache_bytes") or 0) <= 1000


class Bench:
    """A cache, and computations that finish when the test releases them."""

    def __init__(self, state: ServerState) -> None:
        self.cache = ResultCache(state.settings, state.classifier, CollectorRegistry())
        self.computed = 0
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def slow(self, error: Exception | None = None) -> Outcome:
        self.begun.set()
        await self.go.wait()
        if error is not None:
            raise error
        return await self.quick()

    async def quick(self) -> Outcome:
        self.computed += 1
        return Outcome([], np.arange(4, dtype=np.float32), {}, {})


async def test_an_error_of_the_first_request_does_not_affect_the_others(
    make_state: Callable[..., ServerState],
) -> None:
    bench = Bench(make_state(cache=ON))
    failing = bench.cache.get_or_compute(PHOTO, 1, lambda: bench.slow(ImageUndecodableError("bad")))
    first = asyncio.create_task(failing)
    await bench.begun.wait()
    others = [asyncio.create_task(bench.cache.get_or_compute(PHOTO, 1, bench.quick)) for _ in range(3)]
    await asyncio.sleep(0)
    bench.go.set()
    with pytest.raises(ImageUndecodableError):
        await first
    assert [other.outcome.scores.tolist() for other in await asyncio.gather(*others)] == [[0, 1, 2, 3]] * 3


async def test_a_disconnect_of_the_first_client_does_not_affect_another(
    make_state: Callable[..., ServerState],
) -> None:
    bench = Bench(make_state(cache=ON))
    first = asyncio.create_task(bench.cache.get_or_compute(PHOTO, 1, bench.slow))
    await bench.begun.wait()
    other = asyncio.create_task(bench.cache.get_or_compute(PHOTO, 1, bench.quick))
    await asyncio.sleep(0)
    first.cancel()
    assert (await other).outcome.scores.tolist() == [0, 1, 2, 3]
    assert bench.computed == 1


async def test_after_a_disconnect_of_the_first_client_one_other_computes_for_all(
    make_state: Callable[..., ServerState],
) -> None:
    bench = Bench(make_state(cache=ON))
    first = asyncio.create_task(bench.cache.get_or_compute(PHOTO, 1, bench.slow))
    await bench.begun.wait()
    others = [asyncio.create_task(bench.cache.get_or_compute(PHOTO, 1, bench.slow)) for _ in range(8)]
    await asyncio.sleep(0)
    bench.begun.clear()
    first.cancel()
    await bench.begun.wait()
    others[0].cancel()  # it also disconnects
    bench.begun.clear()
    await bench.begun.wait()
    bench.go.set()
    answers = await asyncio.gather(*others[1:])
    assert [answer.hit for answer in answers].count(False) == 1
    assert bench.computed == 1


async def test_a_disconnect_of_another_client_does_not_affect_the_first(
    make_state: Callable[..., ServerState],
) -> None:
    bench = Bench(make_state(cache=ON))
    first = asyncio.create_task(bench.cache.get_or_compute(PHOTO, 1, bench.slow))
    await bench.begun.wait()
    others = [asyncio.create_task(bench.cache.get_or_compute(PHOTO, 1, bench.quick)) for _ in range(2)]
    await asyncio.sleep(0)
    others[0].cancel()
    await asyncio.sleep(0)
    bench.go.set()
    assert not (await first).hit
    assert (await others[1]).hit
    assert bench.computed == 1


async def test_waiting_for_the_first_request_ends_with_the_queue_timeout(
    make_state: Callable[..., ServerState],
) -> None:
    bench = Bench(make_state(cache=ON, queue_timeout_seconds=0.1))
    first = asyncio.create_task(bench.cache.get_or_compute(PHOTO, 1, bench.slow))
    await bench.begun.wait()
    answer = await bench.cache.get_or_compute(PHOTO, 1, bench.quick)
    assert not answer.hit
    assert not first.done()
    bench.go.set()
    await first


async def test_without_a_cache_responses_and_metrics_do_not_mention_it(server: Running) -> None:
    answer: httpx.Response = await raw(server, PHOTO)
    assert "x-cache" not in answer.headers
    assert "cache" not in answer.json()["timings_ms"]
    assert b"cache" not in server.state.metrics.render()


def test_without_a_cache_its_modules_are_not_imported() -> None:
    program = (
        "import sys, imageclassifier_runtime.serve, imageclassifier_runtime.web.app as _; print(*sys.modules)"
    )
    names = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "imageclassifier_runtime.protocols.request_context" in names
    assert not [
        name
        for name in names
        if name.split(".")[0] == "redis" or name.startswith("imageclassifier_runtime.cache.")
    ]
