"""A Redis in the cluster keeps cached results when pods are replaced; without it, requests still succeed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest

from e2e import redis_store
from e2e.classifiers import (
    classify,
    condition,
    manifest,
    pods,
    variant,
    wait_for_endpoint,
    wait_for_reason,
    wait_for_response,
    wait_until_ready,
)
from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2e.classifiers import Endpoint
    from e2e.kube import Kube

_PASSWORD = "e2e-redis-password"


def _cache_requests(client: httpx.Client) -> Mapping[str, float]:
    text = client.get("/metrics").text
    return {
        result: float(value)
        for result, value in re.findall(r'imageclassifier_cache_requests_total\{result="(\w+)"\} (\S+)', text)
    }


def _wait_for_hit(endpoint: Endpoint, image: bytes) -> httpx.Response:
    def hit() -> httpx.Response | None:
        try:
            response = classify(client, image)
        except httpx.TransportError:
            return None
        return response if response.headers.get("x-cache") == "hit" else None

    with endpoint.client(timeout_seconds=5) as client:
        return until(hit, seconds=60, what="a cache hit", every=0.1)


def test_a_server_caches_results_in_memory(kube: Kube, namespace: str, photograph: bytes) -> None:
    kube.apply(manifest("pets", namespace=namespace, spec={"cache": {}}))
    wait_until_ready(kube, "pets", namespace=namespace)
    endpoint = wait_for_endpoint(kube, "pets", namespace=namespace)
    first = wait_for_response(endpoint, photograph)
    second = _wait_for_hit(endpoint, photograph)
    assert second.json()["predictions"] == first["predictions"]
    assert "inference" not in second.json()["timings_ms"]
    with endpoint.client() as client:
        assert _cache_requests(client)["hit"] >= 1


def test_redis_keeps_results_when_pods_are_replaced_and_requests_succeed_without_it(
    kube: Kube, images: Mapping[str, str], namespace: str, photograph: bytes
) -> None:
    if not kube.target.local:
        pytest.skip("copies a program from this machine into the cluster")
    cache = {"redis": {"url": redis_store.url(namespace), "credentialsSecretRef": {"name": redis_store.SECRET}}}
    kube.apply(manifest("pets", namespace=namespace, spec={"cache": cache}))
    live = wait_for_reason(
        kube, "pets", "CreateContainerConfigError", containing=redis_store.SECRET, namespace=namespace
    )
    message = condition(live, "Ready")["message"]
    assert "spec.cache.redis.credentialsSecretRef needs that Secret" in message
    assert "the key password" in message

    metadata = {"name": redis_store.SECRET, "namespace": namespace}
    secret = {
        "type": "kubernetes.io/basic-auth",
        "stringData": {redis_store.PASSWORD_KEY: _PASSWORD, "username": ""},
    }
    kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **secret})
    kube.apply(*redis_store.manifests(namespace, images["runtime"]))
    redis_store.start(kube, namespace)
    wait_until_ready(kube, "pets", namespace=namespace)
    endpoint = wait_for_endpoint(kube, "pets", namespace=namespace)
    first = wait_for_response(endpoint, photograph)
    assert _wait_for_hit(endpoint, photograph).json()["predictions"] == first["predictions"]

    # replace the pod; the cache of the new one is empty
    before = {pod["metadata"]["name"] for pod in pods(kube, "pets", namespace=namespace)}
    changed = {"cache": cache, "limits": {"maxQueueSize": 65}}
    kube.apply(manifest("pets", namespace=namespace, spec=changed))
    wait_until_ready(kube, "pets", namespace=namespace)
    (pod,) = pods(kube, "pets", namespace=namespace)
    assert pod["metadata"]["name"] not in before

    def served_from_redis() -> bool:
        # A new connection each time: kube-proxy sends some to the old pod for a second after the new one is ready.
        with endpoint.client() as client:
            response = classify(client, photograph)
            assert response.json()["predictions"] == first["predictions"]
            return _cache_requests(client)["redis_hit"] >= 1

    until(served_from_redis, seconds=30, what="a Redis hit of the new pod")

    kube.kubectl("scale", f"deploy/{redis_store.NAME}", "--replicas=0", f"-n={namespace}")
    with endpoint.client() as client:

        def failing() -> bool:
            response = classify(client, variant(photograph, len(sent)))
            sent.append(response.status_code)
            assert response.status_code == httpx.codes.OK, response.text
            assert response.json()["predictions"] == first["predictions"]
            return _cache_requests(client)["redis_error"] >= 3

        sent: list[int] = []
        until(failing, seconds=60, what="Redis errors to be counted", every=0.1)
        assert classify(client, photograph).headers["x-cache"] == "hit"
    assert condition(wait_until_ready(kube, "pets", namespace=namespace), "Ready")["status"] == "True"
    (pod,) = pods(kube, "pets", namespace=namespace)
    assert _PASSWORD not in kube.kubectl("logs", pod["metadata"]["name"], f"-n={namespace}")
