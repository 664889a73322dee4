"""A client for the Kubernetes API, used by the local cluster, the scenarios and the measurements."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
from typing import TYPE_CHECKING, Any

import httpx
from imageclassifier_operator.children import CHILDREN

from e2e.cluster.errors import ClusterError
from tools.steps import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

Object = dict[str, Any]
"""A parsed JSON object; most are Kubernetes objects."""

_CORE_RESOURCES = ("namespaces", "pods", "events", "nodes", "configmaps")
_CHILD_RESOURCES = tuple(child.resource for child in CHILDREN)
_GROUP_VERSION_PATHS = {
    "imageclassifiers": "/apis/imageclassifier.dev/v1alpha1",
    "replicasets": "/apis/apps/v1",
    "customresourcedefinitions": "/apis/apiextensions.k8s.io/v1",
    "endpointslices": "/apis/discovery.k8s.io/v1",
    "leases": "/apis/coordination.k8s.io/v1",
    **dict.fromkeys(_CORE_RESOURCES, "/api/v1"),
    **{resource.plural: resource.path().removesuffix(f"/{resource.plural}") for resource in _CHILD_RESOURCES},
}
"""The URL path of each resource's API group and version, by plural resource name."""


class ApiError(ClusterError):
    """The API server rejected a request (`code` is the HTTP status), or was unreachable (`code` is 0)."""

    def __init__(self, method: str, path: str, code: int, message: str) -> None:
        status = f"{code} " if code else ""
        super().__init__(f"{method} {path}: {status}{message}")
        self.code = code


class ServerWarningError(ClusterError):
    """The API server or kubectl sent a warning, for example about a deprecated API. Tests must not cause any."""


class WatchError(ClusterError):
    """The API server sent an ERROR event in a watch; the message contains its text."""


def url_path(plural: str, *, namespace: str | None = None, name: str | None = None) -> str:
    """The URL path of a resource's collection, or of one object in it."""
    parts = [_GROUP_VERSION_PATHS[plural]]
    if namespace:
        parts += ["namespaces", namespace]
    parts.append(plural)
    if name:
        parts.append(name)
    return "/".join(parts)


def raise_warning(text: str) -> None:
    """Raise ServerWarningError with the text of a warning."""
    raise ServerWarningError(text)


class Api:
    """A client of one API server. Thread-safe.

    `http` sends the requests: it has the server's URL and authenticates. `on_warning` is called with the text of
    each warning that the API server sends.
    """

    def __init__(self, http: httpx.Client, *, on_warning: Callable[[str], None] = raise_warning) -> None:
        self._http = http
        self._on_warning = on_warning
        http.event_hooks = {"response": [self._report_warnings]}

    def _report_warnings(self, response: httpx.Response) -> None:
        for warning in response.headers.get_list("warning"):
            self._on_warning(f"{response.request.method} {response.request.url.path}: {warning}")

    def ready(self) -> bool:
        """Whether the API server says that it is ready."""
        try:
            return self._http.get("/readyz", timeout=2).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str) -> Object:
        """Send one request and return the JSON object in the response. Raises ApiError."""
        content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
        content = None if body is None else json.dumps(body)
        try:
            response = self._http.request(
                method, path, content=content, headers={"Content-Type": content_type}, params=query
            )
        except httpx.TransportError as error:
            raise ApiError(method, path, 0, str(error) or type(error).__name__) from error
        if not response.is_success:
            raise ApiError(method, path, response.status_code, _message(response))
        result: Object = response.json()
        return result

    def get(self, plural: str, name: str, *, namespace: str | None = None) -> Object | None:
        """One object; None if it does not exist, or if the API server does not serve this resource."""
        try:
            return self.request("GET", url_path(plural, namespace=namespace, name=name))
        except ApiError as error:
            if error.code == httpx.codes.NOT_FOUND:
                return None
            raise

    def list(self, plural: str, *, namespace: str | None = None, selector: str = "") -> list[Object]:
        """The objects of a resource; empty if the API server does not serve the resource."""
        path = url_path(plural, namespace=namespace)
        try:
            items: list[Object] = self.request("GET", path, labelSelector=selector)["items"]
        except ApiError as error:
            if error.code == httpx.codes.NOT_FOUND:
                return []
            raise
        return items

    def create(self, plural: str, body: Mapping[str, Any], *, namespace: str | None = None) -> Object:
        """Create one object."""
        return self.request("POST", url_path(plural, namespace=namespace), body)

    def patch(self, plural: str, name: str, body: Mapping[str, Any], *, namespace: str | None = None) -> Object:
        """Apply a merge patch to one object."""
        return self.request("PATCH", url_path(plural, namespace=namespace, name=name), body)

    def delete(self, plural: str, name: str, *, namespace: str | None = None) -> None:
        """Delete one object if it exists. Kubernetes deletes its dependents in the background."""
        try:
            self.request("DELETE", url_path(plural, namespace=namespace, name=name))
        except ApiError as error:
            if error.code != httpx.codes.NOT_FOUND:
                raise

    def watch(
        self, plural: str, *, namespace: str, name: str | None = None, timeout_seconds: int
    ) -> Iterator[Object]:
        """Yield the current state of one object or of all, then each later state.

        The API server ends the watch after `timeout_seconds`. Raises WatchError, httpx.HTTPError.
        """
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={name}" if name else "",
            "timeoutSeconds": str(timeout_seconds),
        }
        path = url_path(plural, namespace=namespace)
        with self._http.stream("GET", path, params=query, timeout=timeout_seconds + 10) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                event: Object = json.loads(line)
                if event["type"] == "ERROR":
                    raise WatchError(f"watch of {plural} {name}: {event['object'].get('message')}")
                yield event["object"]


def _message(response: httpx.Response) -> str:
    """The message of an error response, which is a Status object or plain text."""
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return response.text.strip()[:500]


def connect(kubeconfig: Path, *, on_warning: Callable[[str], None] = say) -> Api:
    """Return a client for a kubeconfig as `pki.write_kubeconfig` writes it: one server, one client certificate.

    By default it prints warnings. It keeps no connection open, so the caller does not have to close it.
    """
    config = json.loads(kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    user = config["users"][0]["user"]
    tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    # Python can load a client certificate only from a file.
    with tempfile.NamedTemporaryFile() as file:
        file.write(base64.b64decode(user["client-certificate-data"]))
        file.write(base64.b64decode(user["client-key-data"]))
        file.flush()
        tls.load_cert_chain(file.name)
    limits = httpx.Limits(max_keepalive_connections=0)
    http = httpx.Client(base_url=cluster["server"], verify=tls, limits=limits, timeout=10, trust_env=False)
    return Api(http, on_warning=on_warning)
