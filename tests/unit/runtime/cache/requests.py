"""Sends an image in every protocol, and compares responses without their timings."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx

    from tests.unit.runtime.support import Running

    Send = Callable[[Running, bytes], Awaitable[httpx.Response]]

CLASSIFY = "/api/v1/classify"


async def raw(server: Running, image: bytes, *, top_k: int = 5) -> httpx.Response:
    headers = {"Content-Type": "application/octet-stream"}
    return await server.client.post(CLASSIFY, content=image, params={"top_k": top_k}, headers=headers)


async def form(server: Running, image: bytes) -> httpx.Response:
    return await server.client.post(CLASSIFY, files={"file": image})


async def batch(server: Running, image: bytes) -> httpx.Response:
    return await server.client.post(f"{CLASSIFY}/batch", files=[("file", ("x", image))])


async def v1(server: Running, image: bytes) -> httpx.Response:
    instances = [{"b64": base64.b64encode(image).decode()}]
    return await server.client.post("/v1/models/colours:predict", json={"instances": instances})


async def v2(server: Running, image: bytes) -> httpx.Response:
    outputs = [{"name": "classes"}, {"name": "logits"}]
    data = {"datatype": "BYTES", "shape": [1], "data": [base64.b64encode(image).decode()]}
    request = {"inputs": [{"name": "image_bytes", **data}], "outputs": outputs}
    return await server.client.post("/v2/models/colours/infer", json=request)


async def v2_without_json(server: Running, image: bytes) -> httpx.Response:
    headers = {"Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream"}
    return await server.client.post("/v2/models/colours/infer", content=image, headers=headers)


PROTOCOLS: dict[str, Send] = {
    "raw": raw,
    "form": form,
    "batch": batch,
    "v1": v1,
    "v2": v2,
    "v2-without-json": v2_without_json,
}


def content_of(response: httpx.Response) -> Any:
    """Return the content of a response without its timings."""
    assert response.status_code == 200, response.text
    if response.headers["content-type"] != "application/json":
        return response.content
    return _without_timings(response.json())


def _without_timings(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_timings(inner) for key, inner in value.items() if key != "timings_ms"}
    return [_without_timings(inner) for inner in value] if isinstance(value, list) else value


def lookups(server: Running) -> dict[str, int]:
    """Return the number of cache lookups by result, without zeros."""
    samples = [sample for metric in server.state.metrics.registry.collect() for sample in metric.samples]
    return {
        sample.labels["result"]: int(sample.value)
        for sample in samples
        if sample.name == "imageclassifier_cache_requests_total" and sample.value
    }


def metric(server: Running, name: str, **labels: str) -> float | None:
    return server.state.metrics.registry.get_sample_value(f"imageclassifier_{name}", labels)


def redis_value(scores: bytes, key: bytes) -> bytes:
    """Return the value in Redis, implemented independently from the description of the format."""
    import hashlib

    return struct.pack("4s16s", b"ICR1", hashlib.sha256(key + scores).digest()[:16]) + scores
