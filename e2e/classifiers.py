"""Helpers of tests and demo for an ImageClassifier: create it, wait until it serves, send it images."""

from __future__ import annotations

import json
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
"""The plural resource names of all children, including optional ones."""

CLASSIFY = "/api/v1/classify"
_ASSIGNED = ("clusterIP", "clusterIPs")
_ROLLOUT_ANNOTATION = "deployment.kubernetes.io/revision"

_CONNECT_SECONDS = 0.5


def manifest(name: str, *, namespace: str, spec: Mapping[str, Any] | None = None) -> Object:
    """An ImageClassifier."""
    return {**KIND, "metadata": {"name": name, "namespace": namespace}, "spec": dict(spec or {})}


def condition(live: Mapping[str, Any], condition_type: str) -> Object:
    """One condition; empty if it is not set."""
    conditions = (live.get("status") or {}).get("conditions") or []
    return next((dict(found) for found in conditions if found["type"] == condition_type), {})


def current_condition(live: Mapping[str, Any], condition_type: str = "Ready") -> Object:
    """A condition if its observedGeneration is the latest generation, else empty."""
    found = condition(live, condition_type)
    return found if found.get("observedGeneration") == live["metadata"]["generation"] else {}


def ready_summary(live: Mapping[str, Any] | None) -> str:
    """The Ready condition in one line."""
    if live is None:
        return "not found"
    ready = condition(live, "Ready")
    if not ready:
        return "the operator has not reported status yet"
    return f"Ready={ready['status']} {ready['reason']}: {ready['message']}"


def wait_for(
    kube: Kube, name: str, *, namespace: str, what: str, probe: Callable[[Object], bool], seconds: float = 60
) -> Object:
    """Wait until `probe` accepts an ImageClassifier; returns it."""

    def accepted() -> Object | None:
        live = kube.get("imageclassifiers", name, namespace=namespace)
        return live if live is not None and probe(live) else None

    def actual() -> str:
        return ready_summary(kube.get("imageclassifiers", name, namespace=namespace))

    return until(accepted, seconds=seconds, what=f"{namespace}/{name}: {what}", describe=actual)


def wait_until_ready(kube: Kube, name: str, *, namespace: str, seconds: float = 90) -> Object:
    """Wait until the latest generation is Ready."""
    return wait_for(
        kube,
        name,
        namespace=namespace,
        what="Ready",
        probe=lambda live: current_condition(live).get("status") == "True",
        seconds=seconds,
    )


def wait_for_replicas(kube: Kube, name: str, count: int, *, namespace: str, seconds: float = 60) -> Object:
    """Wait until exactly `count` replicas are desired and ready. Ready alone is also True while others end."""
    summary = f"{count}/{count}"

    def reached(live: Object) -> bool:
        return current_condition(live).get("status") == "True" and live["status"]["readySummary"] == summary

    return wait_for(kube, name, namespace=namespace, what=f"Ready with {summary}", probe=reached, seconds=seconds)


def wait_for_reason(
    kube: Kube, name: str, reason: str, *, namespace: str, containing: str = "", seconds: float = 60
) -> Object:
    """Wait until Ready has this reason for the latest generation, and `containing` in its message."""

    def matches(live: Object) -> bool:
        ready = current_condition(live)
        return ready.get("reason") == reason and containing in ready.get("message", "")

    what = f"{reason} with {containing!r}" if containing else reason
    return wait_for(kube, name, namespace=namespace, what=what, probe=matches, seconds=seconds)


def children(kube: Kube, uid: str, *, namespace: str) -> dict[str, Object]:
    """The children of an ImageClassifier, by plural resource name."""
    return {
        plural: item
        for plural in CHILDREN
        for item in kube.list(plural, namespace=namespace)
        if any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences") or [])
    }


def comparable(child: Object, *, owner: str) -> Object:
    """A child without what no two objects have in common: identity, status, and what the cluster assigned to it.

    The name of its ImageClassifier is replaced wherever it is part of a value.
    """
    common = {key: value for key, value in child.items() if key not in {"metadata", "status"}}
    metadata = child["metadata"]
    common["labels"] = metadata.get("labels") or {}
    common["annotations"] = {
        key: value for key, value in (metadata.get("annotations") or {}).items() if key != _ROLLOUT_ANNOTATION
    }
    result: Object = json.loads(json.dumps(common).replace(owner, "OWNER"))
    spec = result.get("spec") or {}
    for field in _ASSIGNED:
        spec.pop(field, None)
    for port in spec.get("ports") or []:
        port.pop("nodePort", None)
    return result


def pods(kube: Kube, name: str, *, namespace: str) -> list[Object]:
    """The pods of an ImageClassifier, without those being deleted."""
    found = kube.list("pods", namespace=namespace, selector=f"app.kubernetes.io/instance={name}")
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def restarts(kube: Kube, name: str, *, namespace: str) -> int:
    """The sum of container restarts of an ImageClassifier."""
    statuses = [
        status
        for pod in pods(kube, name, namespace=namespace)
        for key in ("initContainerStatuses", "containerStatuses")
        for status in pod["status"].get(key) or []
    ]
    return sum(status["restartCount"] for status in statuses)


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """How this machine connects to a Service: by its cluster IP, or through the API server's proxy."""

    url: str
    socket: Path | None = None

    def client(self, *, timeout_seconds: float | httpx.Timeout = 30) -> httpx.Client:
        """A client with keep-alive connections."""
        transport = httpx.HTTPTransport(uds=str(self.socket) if self.socket else None)
        return httpx.Client(base_url=self.url, transport=transport, timeout=timeout_seconds)

    def async_client(
        self, *, timeout_seconds: float = 30, keep_alive: bool = True, connections: int = 100
    ) -> httpx.AsyncClient:
        """The same for asyncio; without `keep_alive` each request opens a new connection."""
        keepalive_connections = connections if keep_alive else 0
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=keepalive_connections)
        transport = httpx.AsyncHTTPTransport(uds=str(self.socket) if self.socket else None, limits=limits)
        return httpx.AsyncClient(base_url=self.url, transport=transport, timeout=timeout_seconds)


def find_endpoint(kube: Kube, name: str, *, namespace: str) -> Endpoint | None:
    """The endpoint of a Service, None if it does not exist yet."""
    service = kube.get("services", name, namespace=namespace)
    address = (service or {}).get("spec", {}).get("clusterIP")
    if service is None or not address:
        return None
    port = service["spec"]["ports"][0]["port"]
    if kube.target.local:
        return Endpoint(url=f"http://{address}:{port}")
    path = f"/api/v1/namespaces/{namespace}/services/http:{name}:{port}/proxy"
    return Endpoint(url=f"http://localhost{path}", socket=kube.socket)


def wait_for_endpoint(kube: Kube, name: str, *, namespace: str, seconds: float = 30) -> Endpoint:
    """Wait until a Service has an address; returns its endpoint."""

    def found() -> Endpoint | None:
        return find_endpoint(kube, name, namespace=namespace)

    return until(found, seconds=seconds, what=f"the Service {name}", every=0.05)


def classify(
    client: httpx.Client, image: bytes, *, top_k: int = 5, content_type: str = "image/jpeg"
) -> httpx.Response:
    """Post one image as the raw body."""
    headers = {"Content-Type": content_type}
    return client.post(CLASSIFY, content=image, params={"top_k": top_k}, headers=headers)


def variant(photograph: bytes, number: int) -> bytes:
    """The same image with different bytes: with a comment after the start of the JPEG."""
    comment = f"{number:06}".encode()
    return photograph[:2] + b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment + photograph[2:]


def wait_for_response(endpoint: Endpoint, image: bytes, *, seconds: float = 60, top_k: int = 5) -> Object:
    """Retry until the response has status 200; returns its body. Connections are refused until a pod is ready."""
    last = ""

    def responded() -> Object | None:
        nonlocal last
        try:
            response = classify(client, image, top_k=top_k)
        except httpx.TransportError as error:
            last = repr(error)
            return None
        last = f"{response.status_code} {response.text[:300]}"
        result: Object | None = response.json() if response.status_code == httpx.codes.OK else None
        return result

    # A connection is lost if it comes before the node knows the Service. A short timeout replaces it soon.
    timeout = httpx.Timeout(5, connect=_CONNECT_SECONDS)
    with endpoint.client(timeout_seconds=timeout) as client:
        return until(
            responded, seconds=seconds, what=f"status 200 from {endpoint.url}", every=0.05, describe=lambda: last
        )


def delete(kube: Kube, name: str, *, namespace: str, seconds: float = 60) -> None:
    """Delete an ImageClassifier and wait until only terminating pods are left of it."""
    kube.delete("imageclassifiers", name, namespace=namespace)

    def deleted() -> bool:
        selector = f"app.kubernetes.io/instance={name}"
        remaining = any(kube.list(plural, namespace=namespace, selector=selector) for plural in CHILDREN)
        return not remaining and not pods(kube, name, namespace=namespace)

    until(deleted, seconds=seconds, what=f"all children of {name} to be deleted", every=0.2)
