"""Several images in one form: each has its own result, and the body has its own limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_runtime.protocols.request_context import MAX_ITEMS, batch_bytes

from tests.unit.runtime.support import LABELS, Running, image_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

BATCH = "/api/v1/classify/batch"


async def post(server: Running, *files: bytes, **options: Any) -> httpx.Response:
    return await server.client.post(BATCH, files=[("file", ("x", file)) for file in files], **options)


async def test_every_image_has_its_result_in_order(server: Running) -> None:
    response = await post(server, *(image_bytes(colour) for colour in LABELS[:3]))
    assert response.status_code == 200
    answer = response.json()
    assert [result["predictions"][0]["class_name"] for result in answer["results"]] == list(LABELS[:3])
    assert set(answer["timings_ms"]) == {"receive", "total"}
    info = server.state.classifier.model.info
    assert answer["model"] == {"name": info.name, "sha256": info.sha256}


async def test_a_result_equals_that_of_the_image_alone(server: Running) -> None:
    alone = await server.client.post("/api/v1/classify", files={"file": image_bytes("blue")})
    result = (await post(server, image_bytes("red"), image_bytes("blue"))).json()["results"][1]
    assert result["predictions"] == alone.json()["predictions"]
    assert set(result["timings_ms"]) == set(alone.json()["timings_ms"]) - {"receive", "total"}


async def test_a_bad_image_does_not_affect_the_others(make_server: Callable[..., Running]) -> None:
    server = make_server(max_image_pixels=2000)
    response = await post(
        server, b"text", image_bytes(), image_bytes()[:60], image_bytes(size=(60, 60)), b"", image_bytes("blue")
    )
    results = response.json()["results"]
    assert [result.get("problem", {}).get("status") for result in results] == [415, None, 400, 413, 400, None]
    alone = await server.client.post(
        "/api/v1/classify", content=b"text", headers={"Content-Type": "application/octet-stream"}
    )
    assert results[0]["problem"] == alone.json()
    assert results[5]["predictions"][0]["class_name"] == "blue"
    text = (await server.client.get("/metrics")).text
    assert 'imageclassifier_requests_total{code="200",protocol="native"} 1.0' in text
    assert 'imageclassifier_rejected_total{reason="too-many-pixels"} 1.0' in text


async def test_top_k_applies_to_every_image(server: Running) -> None:
    for options in ({"params": {"top_k": 2}}, {"data": {"top_k": "2"}}):
        results = (await post(server, image_bytes(), image_bytes(), **options)).json()["results"]
        assert [len(result["predictions"]) for result in results] == [2, 2]
    assert (await post(server, image_bytes(), params={"top_k": 0})).status_code == 422


async def test_the_largest_batch_is_accepted_and_one_more_image_is_not(server: Running) -> None:
    response = await post(server, *[image_bytes()] * MAX_ITEMS)
    assert len(response.json()["results"]) == MAX_ITEMS
    response = await post(server, *[image_bytes()] * (MAX_ITEMS + 1))
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    assert "more than 32" in response.json()["detail"]


async def test_a_form_without_images_and_a_raw_body_are_rejected(server: Running) -> None:
    assert (await server.client.post(BATCH, files={"other": b"x"})).status_code == 422
    raw = await server.client.post(BATCH, content=image_bytes(), headers={"Content-Type": "image/png"})
    assert raw.status_code == 415
    assert "multipart/form-data" in raw.json()["detail"]


async def test_the_body_and_each_image_have_size_limits(make_server: Callable[..., Running]) -> None:
    server = make_server(max_image_bytes=50_000)
    assert batch_bytes(server.state) == 200_000
    results = (await post(server, bytes(50_001), image_bytes())).json()["results"]
    assert results[0]["problem"]["detail"] == "The body has more than 50000 bytes."
    assert results[1]["predictions"]
    response = await post(server, *[bytes(49_000)] * 5)
    assert (response.status_code, response.json()["reason"]) == (413, "too-many-bytes")


@pytest.mark.parametrize("image_bytes_limit", [1 << 20, 30 << 20, 100 << 20])
async def test_a_batch_and_its_extracted_images_fit_the_pool_for_bodies(
    make_server: Callable[..., Running], image_bytes_limit: int
) -> None:
    server = make_server(max_image_bytes=image_bytes_limit)
    admission = server.state.admission
    assert 2 * batch_bytes(server.state) + 128 * 1024 <= admission.bodies.capacity


async def test_a_batch_frees_all_its_memory(server: Running) -> None:
    await post(server, *[image_bytes()] * 5, b"text")
    admission = server.state.admission
    for pool in (admission.bodies, admission.pixels, admission.workers):
        assert pool.free == pool.capacity


async def test_a_batch_without_any_capacity_gets_503(make_server: Callable[..., Running]) -> None:
    server = make_server(queue_timeout_seconds=0.1)
    workers = server.state.admission.workers
    await workers.acquire(workers.capacity, float("inf"))
    response = await post(server, image_bytes(), image_bytes())
    assert (response.status_code, response.headers["retry-after"] in {"1", "2", "3"}) == (503, True)
    assert response.json()["reason"] == "queue-timeout"
