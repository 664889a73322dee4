"""API keys from a Secret, changed while the pod runs, and a rate limit that leaves the probes alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from e2e.classifiers import (
    CLASSIFY,
    condition,
    current,
    manifest,
    pods,
    restarts,
    wait_door,
    wait_ready,
    wait_reason,
)
from e2e.waiting import until

if TYPE_CHECKING:
    from e2e.classifiers import Door
    from e2e.kube import Kube

FIRST, SECOND = "e2e-first-key-0123456789abcdef", "e2e-second-key-0123456789abcdef"
_KUBELET_SECONDS = 180
"""A kubelet brings a changed Secret into a pod within about a minute and a half."""


def apply_keys(kube: Kube, namespace: str, **keys: str) -> None:
    metadata = {"name": "pets-keys", "namespace": namespace}
    kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": keys})


def ask(way: Door, image: bytes, key: str | None) -> httpx.Response:
    # not as Authorization: where the way leads through the API server, that header is its own
    headers = {"Content-Type": "image/jpeg", **({} if key is None else {"X-API-Key": key})}
    with way.client() as client:
        return client.post(CLASSIFY, content=image, headers=headers)


def wait_status(way: Door, image: bytes, key: str | None, status: int, *, seconds: float = 60) -> httpx.Response:
    """Ask until the answer has this status; returns it."""
    said = ""

    def answered() -> httpx.Response | None:
        nonlocal said
        try:
            answer = ask(way, image, key)
        except httpx.TransportError as error:
            said = repr(error)
            return None
        said = f"{answer.status_code} {answer.text[:300]}"
        return answer if answer.status_code == status else None

    return until(answered, seconds=seconds, what=f"a {status}", every=0.5, otherwise=lambda: said)


def test_keys_open_the_door_and_are_changed_without_a_restart(
    kube: Kube, namespace: str, photograph: bytes
) -> None:
    spec: dict[str, Any] = {"security": {"apiKeysSecretRef": {"name": "pets-keys"}}}
    kube.apply(manifest("pets", namespace=namespace, spec=spec))
    live = wait_reason(kube, "pets", "ApiKeysInvalid", namespace=namespace)
    assert "spec.security.apiKeysSecretRef" in condition(live, "Ready")["message"]
    assert condition(live, "Stalled")["status"] == "True"

    apply_keys(kube, namespace, ann=FIRST)
    wait_ready(kube, "pets", namespace=namespace, seconds=_KUBELET_SECONDS)
    way = wait_door(kube, "pets", namespace=namespace)
    wait_status(way, photograph, FIRST, 200)
    refused = ask(way, photograph, None)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert ask(way, photograph, SECOND).status_code == 401
    before, began = pods(kube, "pets", namespace=namespace), restarts(kube, "pets", namespace=namespace)

    apply_keys(kube, namespace, ann=SECOND)
    wait_status(way, photograph, SECOND, 200, seconds=_KUBELET_SECONDS)
    assert ask(way, photograph, FIRST).status_code == 401
    after = pods(kube, "pets", namespace=namespace)
    assert [pod["metadata"]["uid"] for pod in after] == [pod["metadata"]["uid"] for pod in before]
    assert restarts(kube, "pets", namespace=namespace) == began

    log = kube.kubectl("logs", after[0]["metadata"]["name"], "--container=server", f"-n={namespace}")
    assert '"key":"ann"' in log
    assert FIRST not in log
    assert SECOND not in log


def test_a_rate_limit_refuses_the_client_and_never_the_probes(
    kube: Kube, namespace: str, photograph: bytes
) -> None:
    limit = {"rateLimit": {"requestsPerSecond": 1, "burst": 1}}
    kube.apply(manifest("pets", namespace=namespace, spec={"security": limit}))
    wait_ready(kube, "pets", namespace=namespace)
    way = wait_door(kube, "pets", namespace=namespace)
    wait_status(way, photograph, None, 200)

    def spent() -> bool:
        """Send a batch; it costs as many as it has images, so that the client has to wait for half a minute."""
        with way.client() as client:
            files = [("file", ("cat.jpg", photograph)) for _ in range(32)]
            return client.post(f"{CLASSIFY}/batch", files=files).status_code == httpx.codes.OK

    until(spent, seconds=60, what="a batch that is let in", every=1)
    refused = ask(way, photograph, None)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 32
    assert refused.json()["reason"] == "rate-limited"
    with way.client() as client:
        for path in ("/api/v1/health/ready", "/api/v1/health/live", "/v2/health/ready", "/metrics"):
            assert client.get(path).status_code == 200
        assert 'imageclassifier_rejected_total{reason="rate-limited"}' in client.get("/metrics").text
    wait_status(way, photograph, None, 200)
    live = kube.get("imageclassifiers", "pets", namespace=namespace)
    assert live is not None
    assert current(live)["status"] == "True"
    assert restarts(kube, "pets", namespace=namespace) == 0
