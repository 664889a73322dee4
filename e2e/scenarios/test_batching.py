"""With `spec.batching`, concurrent images are batched, with the same results as without."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from e2e.classifiers import CLASSIFY, manifest, wait_for_endpoint, wait_for_response, wait_until_ready
from e2e.cluster.kubectl import KubectlError
from e2e.waiting import until

if TYPE_CHECKING:
    from e2e.classifiers import Endpoint
    from e2e.kube import Kube

_CONCURRENT = 32
# In a batch, fp32 values are added in another order, so the last bits differ.
_TOLERANCE = 1e-4


def test_concurrent_images_share_inferences(kube: Kube, namespace: str, photograph: bytes) -> None:
    resources = {"limits": {"cpu": "1", "memory": "1Gi"}}
    batching = {"maxBatchSize": 8, "maxQueueDelayMilliseconds": 50}
    kube.apply(
        manifest("plain", namespace=namespace, spec={"resources": resources}),
        manifest("batched", namespace=namespace, spec={"resources": resources, "batching": batching}),
    )
    endpoints = {}
    for name in ("plain", "batched"):
        wait_until_ready(kube, name, namespace=namespace)
        endpoints[name] = wait_for_endpoint(kube, name, namespace=namespace)
        wait_for_response(endpoints[name], photograph)
    expected = asyncio.run(_send_concurrently(endpoints["plain"], photograph))
    assert _sizes(endpoints["plain"]) == (0, 0)

    def batched() -> bool:
        for result in asyncio.run(_send_concurrently(endpoints["batched"], photograph)):
            assert _top_class(result) == _top_class(expected[0])
            for one, other in zip(result["predictions"], expected[0]["predictions"], strict=True):
                assert one["probability"] == pytest.approx(other["probability"], abs=_TOLERANCE)
        batches, inputs = _sizes(endpoints["batched"])
        return inputs >= _CONCURRENT and batches < inputs

    until(batched, seconds=60, what="a batch of more than one image", every=0.1)


def test_a_batch_larger_than_the_queue_is_rejected(kube: Kube, namespace: str, photograph: bytes) -> None:
    spec: dict[str, Any] = {"limits": {"maxQueueSize": 4}, "batching": {"maxBatchSize": 5}}
    pets = manifest("pets", namespace=namespace, spec=spec)
    with pytest.raises(KubectlError, match="no batch would ever be full"):
        kube.apply(pets)
    spec["batching"]["maxBatchSize"] = 4
    kube.apply(manifest("pets", namespace=namespace, spec=spec))
    wait_until_ready(kube, "pets", namespace=namespace)
    wait_for_response(wait_for_endpoint(kube, "pets", namespace=namespace), photograph)


async def _send_concurrently(endpoint: Endpoint, image: bytes) -> list[dict[str, Any]]:
    async with endpoint.async_client() as client, asyncio.TaskGroup() as group:
        headers = {"Content-Type": "image/jpeg"}
        tasks = [
            group.create_task(client.post(CLASSIFY, content=image, headers=headers)) for _ in range(_CONCURRENT)
        ]
    responses = [task.result() for task in tasks]
    assert {response.status_code for response in responses} == {httpx.codes.OK}
    return [response.json() for response in responses]


def _top_class(result: dict[str, Any]) -> int:
    found: int = result["predictions"][0]["class_id"]
    return found


def _sizes(endpoint: Endpoint) -> tuple[float, float]:
    """The number of batched inferences, and of their inputs."""
    with endpoint.client() as client:
        text = client.get("/metrics").text
    found = dict(re.findall(r"^imageclassifier_batch_size_(count|sum) (\S+)$", text, re.MULTILINE))
    return float(found["count"]), float(found["sum"])
