"""Implements `Cluster` with the asyncio client of the library `kubernetes`: transport, TLS and credentials."""

from __future__ import annotations

import asyncio
import json
import random
import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import config as kube_config
from kubernetes.aio.client import ApiClient, ApiException, Configuration

from imageclassifier_operator.kube.errors import (
    GoneError,
    KubeError,
    NotFoundError,
    SilentError,
    UnreachableError,
    error_for_status,
)
from imageclassifier_operator.kube.protocol import Listing, WatchEvent
from imageclassifier_operator.kube.resources import EVENTS
from imageclassifier_operator.kube.warnings import WarningLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from types import TracebackType

    from imageclassifier_operator.kube.resources import Resource

REQUEST_TIMEOUT_SECONDS = 30.0
"""Timeout of one request in seconds."""

OLDEST_KUBERNETES = (1, 30)
"""The oldest supported version, which is assumed if a server's version cannot be read."""

WATCH_SECONDS = (240, 300)
"""The server closes a watch after a random time in this range, so that not all close at the same time."""

USER_AGENT = f"imageclassifier-operator/{version('imageclassifier')}"

WATCH_SILENCE_SECONDS = 90.0
"""A watch is restarted if no data arrives for this time.

Bookmarks arrive about once a minute, but there are none for a kind of which the API server has seen no change
since its start.
"""

_TIMEOUT = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS)
_JSON = "application/json"
_JSON_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
_JSON_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"


async def connect(
    *,
    kubeconfig: str | None,
    context: str | None,
    identity: str = "",
    count: Callable[[str, str], None] = lambda *_: None,
) -> KubeClient:
    """Return a client for a context of a kubeconfig or, without a kubeconfig, for the pod's service account.

    identity: added to the user agent, so that the audit log says which of several processes sent a request.
    count: called after each request with its HTTP method and the status code, `<error>` without a response.

    Raises:
        KubeError: there is no such kubeconfig or context, or the process runs in no pod.
    """
    configuration = Configuration()
    try:
        if kubeconfig is None:
            kube_config.load_incluster_config(client_configuration=configuration)
        else:
            await kube_config.load_kube_config(kubeconfig, context=context, client_configuration=configuration)
    except kube_config.ConfigException as error:
        raise KubeError(f"no usable credentials of a cluster: {error}") from error
    configuration.connection_pool_maxsize = (
        0  # unlimited: each watch keeps a connection, and a renewal must not wait
    )
    configuration.retries = None  # the transport must not repeat a write; the work queue retries the reconcile
    api = ApiClient(configuration)
    api.user_agent = f"{USER_AGENT} ({identity})" if identity else USER_AGENT
    return KubeClient(api, count=count)


class KubeClient:
    """A `Cluster` that sends HTTP requests to an API server."""

    def __init__(
        self,
        api: ApiClient,
        *,
        count: Callable[[str, str], None] = lambda *_: None,
        write_seconds: Callable[[], float] = lambda: REQUEST_TIMEOUT_SECONDS,
    ) -> None:
        self._api = api
        self._count = count
        self._write_seconds = write_seconds
        self._warnings = WarningLog()

    @property
    def configuration(self) -> Configuration:
        """The address of the API server and the credentials."""
        configuration: Configuration = self._api.configuration
        return configuration

    def fenced(self, write_seconds: Callable[[], float]) -> KubeClient:
        """Return a client with the same connections whose writes have a time limit.

        write_seconds: called before each write, returns the seconds in which it has to end; 0 forbids it.
        """
        return KubeClient(self._api, count=self._count, write_seconds=write_seconds)

    async def __aenter__(self) -> KubeClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._api.close()

    async def get(self, resource: Resource, *, namespace: str, name: str) -> dict[str, Any] | None:
        try:
            return await self._json("GET", resource.path(namespace=namespace, name=name))
        except NotFoundError:
            return None

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None,
        selector: str = "",
        name: str | None = None,
        metadata_only: bool = False,
    ) -> Listing:
        query = _selection(selector, name)
        accept = _JSON_METADATA_LIST if metadata_only else _JSON
        body = await self._json("GET", resource.path(namespace=namespace), query=query, accept=accept)
        return Listing(body.get("items") or [], body["metadata"]["resourceVersion"])

    async def warnings(self, *, namespace: str, uid: str) -> Listing:
        query = {"fieldSelector": f"involvedObject.uid={uid},type=Warning"}
        body = await self._json("GET", EVENTS.path(namespace=namespace), query=query)
        return Listing(body.get("items") or [], body["metadata"]["resourceVersion"])

    async def apply(
        self, resource: Resource, manifest: Mapping[str, Any], *, manager: str, subresource: str | None = None
    ) -> dict[str, Any]:
        metadata = manifest["metadata"]
        path = resource.path(namespace=metadata["namespace"], name=metadata["name"], subresource=subresource)
        query = {"fieldManager": manager, "force": "true"}
        content_type = "application/apply-patch+yaml"
        return await self._json("PATCH", path, query=query, body=manifest, content_type=content_type)

    async def set_managed_fields(
        self, resource: Resource, live: Mapping[str, Any], managed_fields: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        metadata = live["metadata"]
        patch = [
            {"op": "add", "path": "/metadata/managedFields", "value": list(managed_fields)},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        ]
        path = resource.path(namespace=metadata["namespace"], name=metadata["name"])
        return await self._json("PATCH", path, body=patch, content_type="application/json-patch+json")

    async def create(self, resource: Resource, manifest: Mapping[str, Any]) -> dict[str, Any]:
        return await self._json("POST", resource.path(namespace=manifest["metadata"]["namespace"]), body=manifest)

    async def replace(self, resource: Resource, manifest: Mapping[str, Any]) -> dict[str, Any]:
        metadata = manifest["metadata"]
        path = resource.path(namespace=metadata["namespace"], name=metadata["name"])
        return await self._json("PUT", path, body=manifest)

    async def delete(self, resource: Resource, live: Mapping[str, Any]) -> None:
        metadata = live["metadata"]
        exact = {key: metadata[key] for key in ("uid", "resourceVersion")}
        path = resource.path(namespace=metadata["namespace"], name=metadata["name"])
        try:
            await self._json("DELETE", path, body={"preconditions": exact, "propagationPolicy": "Background"})
        except NotFoundError:
            return

    async def version(self) -> tuple[int, int]:
        body = await self._json("GET", "/version")
        found = re.match(r"v(\d+)\.(\d+)", str(body.get("gitVersion")))
        return (int(found[1]), int(found[2])) if found else OLDEST_KUBERNETES

    async def serves(self, resource: Resource) -> bool:
        root = "/apis" if "/" in resource.group_version else "/api"
        try:
            body = await self._json("GET", f"{root}/{resource.group_version}")
        except NotFoundError:
            return False
        # an API that is being deleted is still listed, without the verb create
        return any(
            entry["name"] == resource.plural and "create" in entry.get("verbs", ())
            for entry in body.get("resources") or []
        )

    async def watch(
        self,
        resource: Resource,
        *,
        namespace: str | None,
        selector: str = "",
        name: str | None = None,
        metadata_only: bool = True,
        resource_version: str,
    ) -> AsyncIterator[WatchEvent]:
        seconds = random.randint(*WATCH_SECONDS)  # noqa: S311  jitter, not security
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            **_selection(selector, name),
            "resourceVersion": resource_version,
            "timeoutSeconds": str(seconds),
        }
        accept = _JSON_METADATA if metadata_only else _JSON
        timeout = aiohttp.ClientTimeout(total=seconds + 30.0, sock_connect=10.0, sock_read=WATCH_SILENCE_SECONDS)
        path = f"{resource.path(namespace=namespace)}?{urlencode(query)}"
        try:
            response = await self._send("GET", path, accept=accept, timeout=timeout)
            try:
                async for line in response.content:
                    yield _parse_event(json.loads(line))
            except aiohttp.SocketTimeoutError as error:
                raise SilentError(
                    f"watch of {resource.plural}: silent for {WATCH_SILENCE_SECONDS:.0f} s"
                ) from error
            finally:
                response.close()
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise UnreachableError(f"watch of {resource.plural}: {_text(error)}") from error

    async def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        accept: str = _JSON,
        content_type: str = _JSON,
    ) -> dict[str, Any]:
        url = f"{path}?{urlencode(query)}" if query else path
        seconds = REQUEST_TIMEOUT_SECONDS
        if method != "GET":
            seconds = min(seconds, self._write_seconds())
            if seconds <= 0:
                raise UnreachableError(f"{method} {path}: not sent, the Lease was not renewed in time")
        try:
            async with asyncio.timeout(seconds):
                response = await self._send(method, url, body=body, accept=accept, content_type=content_type)
                result: dict[str, Any] = json.loads(await response.read())
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: not JSON
            raise UnreachableError(f"{method} {path}: {_text(error)}") from error
        return result

    async def _send(
        self,
        method: str,
        url: str,
        *,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        accept: str = _JSON,
        content_type: str = _JSON,
        timeout: aiohttp.ClientTimeout = _TIMEOUT,  # noqa: ASYNC109  passed to the transport
    ) -> aiohttp.ClientResponse:
        method, full_url, headers, payload, form = await self._api.param_serialize(
            method,
            url,
            header_params={"Accept": accept, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        code = "<error>"
        try:
            wrapped = await self._api.call_api(method, full_url, headers, payload, form, timeout)
            code = str(wrapped.response.status)
        except ApiException as error:  # raised before the request is sent, for example for an invalid URL
            raise KubeError(f"{method} {url}: {error.reason}", status=error.status or 0) from error
        finally:
            self._count(method, code)
        response: aiohttp.ClientResponse = wrapped.response
        request = f"{method} {url.partition('?')[0]}"
        self._warnings.log(response.headers.getall("Warning", []), request=request)
        if response.status >= 400:
            raise await _read_error(method, url, response)
        return response


def _selection(selector: str, name: str | None) -> dict[str, str]:
    labels = {"labelSelector": selector} if selector else {}
    return labels if name is None else {**labels, "fieldSelector": f"metadata.name={name}"}


async def _read_error(method: str, url: str, response: aiohttp.ClientResponse) -> KubeError:
    text = await response.text()
    try:
        status = json.loads(text)
    except ValueError:
        status = {}
    path = url.partition("?")[0]
    return error_for_status(
        status=response.status,
        reason=status.get("reason") or response.reason or "",
        message=status.get("message") or f"{method} {path}: HTTP {response.status}",
        retry_after=_parse_retry_after(response.headers.get("Retry-After")),
        fields=_fields(status),
    )


def _fields(status: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paths of the fields that are the causes of an error (`metav1.StatusCause`)."""
    causes = (status.get("details") or {}).get("causes") or []
    return tuple(cause["field"] for cause in causes if cause.get("field"))


def _parse_retry_after(value: str | None) -> float:
    return float(value) if value and value.isdigit() else 0.0


def _parse_event(line: dict[str, Any]) -> WatchEvent:
    if line.get("type") != "ERROR":
        return WatchEvent(line["type"], line["object"])
    status = line.get("object") or {}
    code = int(status.get("code") or 0)
    error_type = GoneError if code == 410 else UnreachableError
    raise error_type(status.get("message") or "watch error", status=code, reason=status.get("reason") or "")


def _text(error: Exception) -> str:
    return "timed out" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
