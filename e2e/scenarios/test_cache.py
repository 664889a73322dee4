"""The cache at work: results outlive the pods in a Redis of the cluster, and its end fails no answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest

from e2e import redisstore
from e2e.classifiers import classify, condition, manifest, pods, wait_answer, wait_door, wait_ready, wait_reason
from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2e.classifiers import Door
    from e2e.kube import Kube

_PASSWORD = "e2e-redis-password"


def _variant(photograph: bytes, number: int) -> bytes:
    """The same picture as another file: with a comment after the start of the JPEG."""
    comment = f"{number:06}".encode()
    return photograph[:2] + b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment + photograph[2:]


def _counted(client: httpx.Client) -> Mapping[str, float]:
    text = client.get("/metrics").text
    return {
        result: float(value)
        for result, value in re.findall(r'imageclassifier_cache_requests_total\{result="(\w+)"\} (\S+)', text)
    }


def _wait_hit(way: Door, image: bytes) -> httpx.Response:
    def hit() -> httpx.Response | None:
        try:
            answer = classify(client, image)
        except httpx.TransportError:
            return None
        return answer if answer.headers.get("x-cache") == "hit" else None

    with way.client(seconds=5) as client:
        return until(hit, seconds=60, what="a hit", every=0.1)


def test_a_server_keeps_results_in_its_own_memory(kube: Kube, namespace: str, photograph: bytes) -> None:
    kube.apply(manifest("pets", namespace=namespace, spec={"cache": {}}))
    wait_ready(kube, "pets", namespace=namespace)
    way = wait_door(kube, "pets", namespace=namespace)
    first = wait_answer(way, photograph)
    second = _wait_hit(way, photograph)
    assert second.json()["predictions"] == first["predictions"]
    assert "inference" not in second.json()["timings_ms"]
    with way.client() as client:
        assert _counted(client)["hit"] >= 1


def test_results_outlive_the_pods_in_redis_and_its_end_fails_no_answer(
    kube: Kube, images: Mapping[str, str], namespace: str, photograph: bytes
) -> None:
    if not kube.target.local:
        pytest.skip("brings a program of this machine into the cluster")
    cache = {"redis": {"url": redisstore.url(namespace), "credentialsSecretRef": {"name": redisstore.SECRET}}}
    kube.apply(manifest("pets", namespace=namespace, spec={"cache": cache}))
    live = wait_reason(kube, "pets", "CreateContainerConfigError", says=redisstore.SECRET, namespace=namespace)
    assert "password for spec.cache.redis.credentialsSecretRef" in condition(live, "Ready")["message"]

    metadata = {"name": redisstore.SECRET, "namespace": namespace}
    secret = {
        "type": "kubernetes.io/basic-auth",
        "stringData": {redisstore.PASSWORD_KEY: _PASSWORD, "username": ""},
    }
    kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **secret})
    kube.apply(*redisstore.manifests(namespace, images["runtime"]))
    redisstore.start(kube, namespace)
    wait_ready(kube, "pets", namespace=namespace)
    way = wait_door(kube, "pets", namespace=namespace)
    first = wait_answer(way, photograph)
    assert _wait_hit(way, photograph).json()["predictions"] == first["predictions"]

    # a pod that has never seen the photograph
    before = {pod["metadata"]["name"] for pod in pods(kube, "pets", namespace=namespace)}
    changed = {"cache": cache, "limits": {"maxQueueSize": 65}}
    kube.apply(manifest("pets", namespace=namespace, spec=changed))
    wait_ready(kube, "pets", namespace=namespace)
    (pod,) = pods(kube, "pets", namespace=namespace)
    assert pod["metadata"]["name"] not in before

    def answered_from_redis() -> bool:
        # A new connection each time: kube-proxy sends some to the old pod for a second after the new one is ready.
        with way.client() as client:
            answer = classify(client, photograph)
            assert answer.json()["predictions"] == first["predictions"]
            return _counted(client)["redis_hit"] >= 1

    until(answered_from_redis, seconds=30, what="an answer of the new pod from Redis")

    kube.kubectl("scale", f"deploy/{redisstore.NAME}", "--replicas=0", f"-n={namespace}")
    with way.client() as client:

        def failing() -> bool:
            answer = classify(client, _variant(photograph, len(sent)))
            sent.append(answer.status_code)
            assert answer.status_code == httpx.codes.OK, answer.text
            assert answer.json()["predictions"] == first["predictions"]
            return _counted(client)["redis_error"] >= 3

        sent: list[int] = []
        until(failing, seconds=60, what="Redis to be missed", every=0.1)
        assert classify(client, photograph).headers["x-cache"] == "hit"
    assert condition(wait_ready(kube, "pets", namespace=namespace), "Ready")["status"] == "True"
    (pod,) = pods(kube, "pets", namespace=namespace)
    assert _PASSWORD not in kube.kubectl("logs", pod["metadata"]["name"], f"-n={namespace}")
