"""A client of the API server, for the local cluster, the scenarios and the measurements."""

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

_CORE = ("namespaces", "pods", "events", "nodes", "configmaps")
_GROUPS = {
    "imageclassifiers": "apis/imageclassifier.dev/v1alpha1",
    "replicasets": "apis/apps/v1",
    "customresourcedefinitions": "apis/apiextensions.k8s.io/v1",
    **dict.fromkeys(_CORE, "api/v1"),
    **{child.resource.plural: child.resource.path()[1:].rpartition("/")[0] for child in CHILDREN},
}


class ApiError(ClusterError):
    """The API server rejected a request, or was unreachable: then `code` is 0."""

    def __init__(self, method: str, path: str, code: int, message: str) -> None:
        super().__init__(f"{method} {path}: {f'{code} ' if code else ''}{message}")
        self.code = code


class ServerWarningError(ClusterError):
    """The API server or kubectl sent a warning, for example about a deprecated API, which no test may use."""


class WatchError(ClusterError):
    """The API server closed a watch with an error; the text is its own."""


def path_of(plural: str, *, namespace: str | None = None, name: str | None = None) -> str:
    """The URL path of a collection, or of one object in it."""
    inside = f"namespaces/{namespace}/" if namespace else ""
    return f"/{_GROUPS[plural]}/{inside}{plural}{f'/{name}' if name else ''}"


def raise_warning(text: str) -> None:
    """Raise a warning as an error."""
    raise ServerWarningError(text)


class Api:
    """A connection to an API server, by an HTTP client that authenticates. Thread-safe.

    `on_warning` is called with the text of each warning of the API server.
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
        """One request to the API server; a PATCH is a merge patch. Raises ApiError."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        content = None if body is None else json.dumps(body)
        try:
            response = self._http.request(
                method, path, content=content, headers={"Content-Type": kind}, params=query
            )
        except httpx.TransportError as error:
            raise ApiError(method, path, 0, str(error) or type(error).__name__) from error
        if not response.is_success:
            raise ApiError(method, path, response.status_code, _message(response))
        result: Object = response.json()
        return result

    def get(self, plural: str, name: str, *, namespace: str | None = None) -> Object | None:
        """One object, or None if it (or its kind) does not exist."""
        try:
            return self.request("GET", path_of(plural, namespace=namespace, name=name))
        except ApiError as error:
            if error.code == httpx.codes.NOT_FOUND:
                return None
            raise

    def list(self, plural: str, *, namespace: str | None = None, selector: str = "") -> list[Object]:
        """The objects of a kind; empty if the kind does not exist."""
        path = path_of(plural, namespace=namespace)
        try:
            found: list[Object] = self.request("GET", path, labelSelector=selector)["items"]
        except ApiError as error:
            if error.code == httpx.codes.NOT_FOUND:
                return []
            raise
        return found

    def create(self, plural: str, body: Mapping[str, Any], *, namespace: str | None = None) -> Object:
        """Create one object."""
        return self.request("POST", path_of(plural, namespace=namespace), body)

    def patch(self, plural: str, name: str, body: Mapping[str, Any], *, namespace: str | None = None) -> Object:
        """Apply a merge patch to one object."""
        return self.request("PATCH", path_of(plural, namespace=namespace, name=name), body)

    def delete(self, plural: str, name: str, *, namespace: str | None = None) -> None:
        """Delete one object, and its dependents in the background; ignores one that does not exist."""
        try:
            self.request("DELETE", path_of(plural, namespace=namespace, name=name))
        except ApiError as error:
            if error.code != httpx.codes.NOT_FOUND:
                raise

    def watch(self, plural: str, *, namespace: str, name: str, seconds: int) -> Iterator[Object]:
        """Every state of one object from now on, until the server closes the stream. Raises WatchError."""
        query = {"watch": "true", "fieldSelector": f"metadata.name={name}", "timeoutSeconds": str(seconds)}
        path = path_of(plural, namespace=namespace)
        with self._http.stream("GET", path, params=query, timeout=seconds + 10) as response:
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

    It need not be closed: each request opens a new connection.
    """
    config = json.loads(kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    user = config["users"][0]["user"]
    tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.NamedTemporaryFile() as file:
        file.write(base64.b64decode(user["client-certificate-data"]))
        file.write(base64.b64decode(user["client-key-data"]))
        file.flush()
        tls.load_cert_chain(file.name)
    limits = httpx.Limits(max_keepalive_connections=0)
    http = httpx.Client(base_url=cluster["server"], verify=tls, limits=limits, timeout=10, trust_env=False)
    return Api(http, on_warning=on_warning)
