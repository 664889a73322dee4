"""A fleet that asks for batches makes them when images come together, and answers as one without."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from e2e.classifiers import CLASSIFY, manifest, wait_answer, wait_door, wait_ready
from e2e.cluster.kubectl import KubectlError
from e2e.waiting import until

if TYPE_CHECKING:
    from e2e.classifiers import Door
    from e2e.kube import Kube

_TOGETHER = 32
# fp32 sums in another order in a batch: the last bits differ.
_TOLERANCE = 1e-4


def test_images_that_come_together_share_inferences(kube: Kube, namespace: str, photograph: bytes) -> None:
    resources = {"limits": {"cpu": "1", "memory": "1Gi"}}
    batching = {"maxBatchSize": 8, "maxQueueDelayMilliseconds": 50}
    kube.apply(
        manifest("plain", namespace=namespace, spec={"resources": resources}),
        manifest("batched", namespace=namespace, spec={"resources": resources, "batching": batching}),
    )
    doors = {}
    for name in ("plain", "batched"):
        wait_ready(kube, name, namespace=namespace)
        doors[name] = wait_door(kube, name, namespace=namespace)
        wait_answer(doors[name], photograph)
    wanted = asyncio.run(_ask_at_once(doors["plain"], photograph))
    assert _sizes(doors["plain"]) == (0, 0)

    def grown() -> bool:
        for answer in asyncio.run(_ask_at_once(doors["batched"], photograph)):
            assert _classes(answer) == _classes(wanted[0])
            for one, other in zip(answer["predictions"], wanted[0]["predictions"], strict=True):
                assert one["probability"] == pytest.approx(other["probability"], abs=_TOLERANCE)
        batches, inputs = _sizes(doors["batched"])
        return inputs >= _TOGETHER and batches < inputs

    until(grown, seconds=60, what="a batch of more than one image", every=0.1)


def test_a_batch_larger_than_the_queue_is_refused_and_a_smaller_one_served(
    kube: Kube, namespace: str, photograph: bytes
) -> None:
    spec: dict[str, Any] = {"limits": {"maxQueueSize": 4}, "batching": {"maxBatchSize": 5}}
    pets = manifest("pets", namespace=namespace, spec=spec)
    with pytest.raises(KubectlError, match="no batch would ever be full"):
        kube.apply(pets)
    spec["batching"]["maxBatchSize"] = 4
    kube.apply(manifest("pets", namespace=namespace, spec=spec))
    wait_ready(kube, "pets", namespace=namespace)
    wait_answer(wait_door(kube, "pets", namespace=namespace), photograph)


async def _ask_at_once(door: Door, image: bytes) -> list[dict[str, Any]]:
    async with door.async_client() as client, asyncio.TaskGroup() as group:
        headers = {"Content-Type": "image/jpeg"}
        tasks = [
            group.create_task(client.post(CLASSIFY, content=image, headers=headers)) for _ in range(_TOGETHER)
        ]
    answers = [task.result() for task in tasks]
    assert {answer.status_code for answer in answers} == {httpx.codes.OK}
    return [answer.json() for answer in answers]


def _classes(answer: dict[str, Any]) -> int:
    found: int = answer["predictions"][0]["class_id"]
    return found


def _sizes(door: Door) -> tuple[float, float]:
    """How many inferences there were with batching, and how many inputs in them."""
    with door.client() as client:
        text = client.get("/metrics").text
    found = dict(re.findall(r"^imageclassifier_batch_size_(count|sum) (\S+)$", text, re.MULTILINE))
    return float(found["count"]), float(found["sum"])
