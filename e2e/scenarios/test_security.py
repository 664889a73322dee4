"""API keys from a Secret that changes while the pod runs, and a rate limit that does not apply to probes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from e2e.classifiers import (
    CLASSIFY,
    condition,
    current_condition,
    manifest,
    pods,
    restarts,
    wait_for_endpoint,
    wait_for_reason,
    wait_until_ready,
)
from e2e.waiting import until

if TYPE_CHECKING:
    from e2e.classifiers import Endpoint
    from e2e.kube import Kube

FIRST, SECOND = "e2e-first-key-0123456789abcdef", "e2e-second-key-0123456789abcdef"
_KUBELET_SECONDS = 180
"""A kubelet updates a Secret volume within about 90 seconds."""


def apply_keys(kube: Kube, namespace: str, **keys: str) -> None:
    metadata = {"name": "pets-keys", "namespace": namespace}
    kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": keys})


def send(endpoint: Endpoint, image: bytes, key: str | None) -> httpx.Response:
    # not as Authorization: the API server's proxy uses that header itself
    headers = {"Content-Type": "image/jpeg", **({} if key is None else {"X-API-Key": key})}
    with endpoint.client() as client:
        return client.post(CLASSIFY, content=image, headers=headers)


def wait_for_status(
    endpoint: Endpoint, image: bytes, key: str | None, status: int, *, seconds: float = 60
) -> httpx.Response:
    """Retry until the response has this status; returns it."""
    last = ""

    def responded() -> httpx.Response | None:
        nonlocal last
        try:
            response = send(endpoint, image, key)
        except httpx.TransportError as error:
            last = repr(error)
            return None
        last = f"{response.status_code} {response.text[:300]}"
        return response if response.status_code == status else None

    return until(responded, seconds=seconds, what=f"status {status}", every=0.5, describe=lambda: last)


def test_keys_are_required_and_change_without_a_restart(kube: Kube, namespace: str, photograph: bytes) -> None:
    spec: dict[str, Any] = {"security": {"apiKeysSecretRef": {"name": "pets-keys"}}}
    kube.apply(manifest("pets", namespace=namespace, spec=spec))
    live = wait_for_reason(kube, "pets", "ApiKeysInvalid", namespace=namespace)
    assert "spec.security.apiKeysSecretRef" in condition(live, "Ready")["message"]
    assert condition(live, "Stalled")["status"] == "True"

    apply_keys(kube, namespace, ann=FIRST)
    wait_until_ready(kube, "pets", namespace=namespace, seconds=_KUBELET_SECONDS)
    endpoint = wait_for_endpoint(kube, "pets", namespace=namespace)
    wait_for_status(endpoint, photograph, FIRST, 200)
    rejected = send(endpoint, photograph, None)
    assert rejected.status_code == 401
    assert rejected.headers["www-authenticate"].startswith("Bearer")
    assert send(endpoint, photograph, SECOND).status_code == 401
    before = pods(kube, "pets", namespace=namespace)
    restarts_before = restarts(kube, "pets", namespace=namespace)

    apply_keys(kube, namespace, ann=SECOND)
    wait_for_status(endpoint, photograph, SECOND, 200, seconds=_KUBELET_SECONDS)
    assert send(endpoint, photograph, FIRST).status_code == 401
    after = pods(kube, "pets", namespace=namespace)
    assert [pod["metadata"]["uid"] for pod in after] == [pod["metadata"]["uid"] for pod in before]
    assert restarts(kube, "pets", namespace=namespace) == restarts_before

    log = kube.kubectl("logs", after[0]["metadata"]["name"], "--container=server", f"-n={namespace}")
    assert '"key":"ann"' in log
    assert FIRST not in log
    assert SECOND not in log


def test_a_rate_limit_rejects_the_client_and_never_the_probes(
    kube: Kube, namespace: str, photograph: bytes
) -> None:
    limit = {"rateLimit": {"requestsPerSecond": 1, "burst": 1}}
    kube.apply(manifest("pets", namespace=namespace, spec={"security": limit}))
    wait_until_ready(kube, "pets", namespace=namespace)
    endpoint = wait_for_endpoint(kube, "pets", namespace=namespace)
    wait_for_status(endpoint, photograph, None, 200)

    def batch_accepted() -> bool:
        """Send a batch. Each of its images counts, so the client has to wait for half a minute afterwards."""
        with endpoint.client() as client:
            files = [("file", ("cat.jpg", photograph)) for _ in range(32)]
            return client.post(f"{CLASSIFY}/batch", files=files).status_code == httpx.codes.OK

    until(batch_accepted, seconds=60, what="an accepted batch", every=1)
    rejected = send(endpoint, photograph, None)
    assert rejected.status_code == 429
    assert 1 <= int(rejected.headers["retry-after"]) <= 32
    assert rejected.json()["reason"] == "rate-limited"
    with endpoint.client() as client:
        for path in ("/api/v1/health/ready", "/api/v1/health/live", "/v2/health/ready", "/metrics"):
            assert client.get(path).status_code == 200
        assert 'imageclassifier_rejected_total{reason="rate-limited"}' in client.get("/metrics").text
    wait_for_status(endpoint, photograph, None, 200)
    live = kube.get("imageclassifiers", "pets", namespace=namespace)
    assert live is not None
    assert current_condition(live)["status"] == "True"
    assert restarts(kube, "pets", namespace=namespace) == 0
