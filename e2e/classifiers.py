"""What tests and the demo do with an ImageClassifier: make one, wait until it serves, ask it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
from imageclassifier_operator import children as table

from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from e2e.cluster.api import Object
    from e2e.kube import Kube

KIND = {"apiVersion": "imageclassifier.dev/v1alpha1", "kind": "ImageClassifier"}
CHILDREN = tuple(child.resource.plural for child in table.CHILDREN)
"""The plurals of everything that an ImageClassifier can own."""

CLASSIFY = "/api/v1/classify"


def manifest(name: str, *, namespace: str, spec: Mapping[str, Any] | None = None) -> Object:
    """An ImageClassifier."""
    return {**KIND, "metadata": {"name": name, "namespace": namespace}, "spec": dict(spec or {})}


def condition(live: Mapping[str, Any], kind: str) -> Object:
    """One condition; empty where there is none."""
    conditions = (live.get("status") or {}).get("conditions") or []
    return next((dict(found) for found in conditions if found["type"] == kind), {})


def current(live: Mapping[str, Any], kind: str = "Ready") -> Object:
    """A condition if it speaks of the newest generation, else empty."""
    found = condition(live, kind)
    return found if found.get("observedGeneration") == live["metadata"]["generation"] else {}


def told(live: Mapping[str, Any] | None) -> str:
    """What an object says of itself, in one line."""
    if live is None:
        return "not there"
    ready = condition(live, "Ready")
    if not ready:
        return "not seen by the operator yet"
    return f"Ready={ready['status']} {ready['reason']}: {ready['message']}"


def wait_for(
    kube: Kube, name: str, *, namespace: str, what: str, probe: Callable[[Object], bool], seconds: float = 60
) -> Object:
    """Wait until an ImageClassifier is as `probe` wants it; returns it."""

    def look() -> Object | None:
        live = kube.get("imageclassifiers", name, namespace=namespace)
        return live if live is not None and probe(live) else None

    def instead() -> str:
        return told(kube.get("imageclassifiers", name, namespace=namespace))

    return until(look, seconds=seconds, what=f"{namespace}/{name}: {what}", otherwise=instead)


def wait_ready(kube: Kube, name: str, *, namespace: str, seconds: float = 90) -> Object:
    """Wait until the newest generation serves with all its replicas."""
    return wait_for(
        kube,
        name,
        namespace=namespace,
        what="Ready",
        probe=lambda live: current(live).get("status") == "True",
        seconds=seconds,
    )


def wait_reason(
    kube: Kube, name: str, reason: str, *, namespace: str, says: str = "", seconds: float = 60
) -> Object:
    """Wait until Ready gives a reason for the newest generation, with `says` in its message."""

    def told(live: Object) -> bool:
        ready = current(live)
        return ready.get("reason") == reason and says in ready.get("message", "")

    what = f"{reason} with {says!r}" if says else reason
    return wait_for(kube, name, namespace=namespace, what=what, probe=told, seconds=seconds)


def children(kube: Kube, uid: str, *, namespace: str) -> dict[str, Object]:
    """What an ImageClassifier owns, by the plural of its kind."""
    return {
        plural: item
        for plural in CHILDREN
        for item in kube.list(plural, namespace=namespace)
        if any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences") or [])
    }


def pods(kube: Kube, name: str, *, namespace: str) -> list[Object]:
    """The pods of an ImageClassifier, those that are ending left out."""
    found = kube.list("pods", namespace=namespace, selector=f"app.kubernetes.io/instance={name}")
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def restarts(kube: Kube, name: str, *, namespace: str) -> int:
    """How often containers of an ImageClassifier were started anew."""
    statuses = [
        status
        for pod in pods(kube, name, namespace=namespace)
        for kind in ("initContainerStatuses", "containerStatuses")
        for status in pod["status"].get(kind) or []
    ]
    return sum(status["restartCount"] for status in statuses)


@dataclass(frozen=True, kw_only=True)
class Door:
    """How this machine reaches a Service: by its address, or through the API server's proxy."""

    url: str
    socket: Path | None = None

    def client(self, *, seconds: float = 30) -> httpx.Client:
        """A client that keeps its connections."""
        transport = httpx.HTTPTransport(uds=str(self.socket) if self.socket else None)
        return httpx.Client(base_url=self.url, transport=transport, timeout=seconds)

    def async_client(
        self, *, seconds: float = 30, keep_alive: bool = True, connections: int = 100
    ) -> httpx.AsyncClient:
        """The same for asyncio; without `keep_alive` each request has a connection of its own."""
        kept = connections if keep_alive else 0
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=kept)
        transport = httpx.AsyncHTTPTransport(uds=str(self.socket) if self.socket else None, limits=limits)
        return httpx.AsyncClient(base_url=self.url, transport=transport, timeout=seconds)


def door(kube: Kube, name: str, *, namespace: str) -> Door | None:
    """The way to a Service, None where there is none yet."""
    service = kube.get("services", name, namespace=namespace)
    address = (service or {}).get("spec", {}).get("clusterIP")
    if service is None or not address:
        return None
    port = service["spec"]["ports"][0]["port"]
    if kube.target.local:
        return Door(url=f"http://{address}:{port}")
    path = f"/api/v1/namespaces/{namespace}/services/http:{name}:{port}/proxy"
    return Door(url=f"http://localhost{path}", socket=kube.socket)


def wait_door(kube: Kube, name: str, *, namespace: str, seconds: float = 30) -> Door:
    """Wait for a Service."""

    def there() -> Door | None:
        return door(kube, name, namespace=namespace)

    return until(there, seconds=seconds, what=f"the Service {name}", every=0.05)


def classify(client: httpx.Client, image: bytes, *, top_k: int = 5, kind: str = "image/jpeg") -> httpx.Response:
    """Post one image as the raw body."""
    return client.post(CLASSIFY, content=image, params={"top_k": top_k}, headers={"Content-Type": kind})


def wait_answer(way: Door, image: bytes, *, seconds: float = 60, top_k: int = 5) -> Object:
    """Ask until the answer is a 200; returns it. Before the first pod is ready, connections are refused."""
    said = ""

    def answered() -> Object | None:
        nonlocal said
        try:
            answer = classify(client, image, top_k=top_k)
        except httpx.TransportError as error:
            said = repr(error)
            return None
        said = f"{answer.status_code} {answer.text[:300]}"
        result: Object | None = answer.json() if answer.status_code == httpx.codes.OK else None
        return result

    with way.client(seconds=5) as client:
        return until(answered, seconds=seconds, what=f"a 200 from {way.url}", every=0.05, otherwise=lambda: said)


def delete(kube: Kube, name: str, *, namespace: str, seconds: float = 60) -> None:
    """Delete an ImageClassifier and wait until nothing of it is left but pods that are ending."""
    kube.delete("imageclassifiers", name, namespace=namespace)

    def gone() -> bool:
        selector = f"app.kubernetes.io/instance={name}"
        left = any(kube.list(kind, namespace=namespace, selector=selector) for kind in CHILDREN)
        return not left and not pods(kube, name, namespace=namespace)

    until(gone, seconds=seconds, what=f"the end of all that {name} had", every=0.2)
