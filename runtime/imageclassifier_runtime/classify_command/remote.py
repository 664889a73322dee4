"""Classifies with a server over HTTP, using only the standard library; reports the server's own error messages."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from imageclassifier_runtime.classify_command.problem import Classification, FailedError, UnreachableError
from imageclassifier_runtime.errors import error_text

_CONNECT_SECONDS, _RESPONSE_SECONDS = 10.0, 90.0
_MAX_RESPONSE_BYTES = 1 << 20
_MAX_DETAIL_LENGTH = 1000


class RemoteServer:
    """A server at a base URL; one connection per photograph, no redirects, no proxies."""

    max_bytes = 1 << 30
    """More than any server can be configured to accept; the server itself enforces its limit."""

    def __init__(self, url: str, *, key: str = "") -> None:
        self._url = url
        self._parts = urlsplit(url)
        self._headers = {"Content-Type": "application/octet-stream", "Accept": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"

    def classify(self, data: bytes, top_k: int) -> Classification:
        """Return the server's classification; raises FailedError, UnreachableError."""
        connection = self._connect()
        try:
            status, headers, body = self._exchange(connection, data, top_k)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise FailedError(f"{self._url} sent no complete response: {error_text(error)}") from error
        finally:
            connection.close()
        return _parse(status, headers, body, self._url)

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        connection: http.client.HTTPConnection
        if self._parts.scheme == "https":
            connection = http.client.HTTPSConnection(host, port, timeout=_CONNECT_SECONDS)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=_CONNECT_SECONDS)
        try:
            connection.connect()
        except ssl.SSLError as error:
            raise UnreachableError(f"TLS connection to {self._url} failed: {error_text(error)}") from error
        except (OSError, UnicodeError) as error:
            text = error_text(error)
            raise UnreachableError(
                f"{self._url} is unreachable ({text}): is the server running, and is this its address?"
            ) from error
        connection.sock.settimeout(_RESPONSE_SECONDS)
        return connection

    def _exchange(
        self, connection: http.client.HTTPConnection, data: bytes, top_k: int
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        path = f"{self._parts.path}/api/v1/classify?top_k={top_k}"
        # The server may reject the request and close the connection before the whole photograph is sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", path, data, self._headers)
        response = connection.getresponse()
        body = response.read(_MAX_RESPONSE_BYTES + 1)
        if len(body) > _MAX_RESPONSE_BYTES:
            raise ValueError(f"it is longer than {_MAX_RESPONSE_BYTES} bytes")
        return response.status, response.headers, body


def _parse(status: int, headers: http.client.HTTPMessage, body: bytes, url: str) -> Classification:
    try:
        document: Any = json.loads(body)
    except ValueError:
        document = None
    if status != HTTPStatus.OK:
        raise _error(status, headers, document)
    if not _is_classification(document):
        raise FailedError(f"the response of {url} is not from an image classifier: is this its address?")
    return {name: document[name] for name in ("predictions", "model", "timings_ms")}


def _is_classification(document: Any) -> bool:
    try:
        return (
            all(
                isinstance(item["class_name"], str) and isinstance(item["probability"], int | float)
                for item in document["predictions"]
            )
            and isinstance(document["model"]["name"], str)
            and isinstance(document["timings_ms"], dict)
        )
    except (TypeError, LookupError):
        return False


def _error(status: int, headers: http.client.HTTPMessage, document: Any) -> FailedError:
    problem = document if isinstance(document, dict) else {}
    detail = str(problem.get("detail") or "")[:_MAX_DETAIL_LENGTH]
    if 300 <= status < 400:
        detail = f"it redirects to {headers.get('Location', 'another address')[:200]}: use that address"
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    title = str(problem.get("title") or phrase)[:200]
    retry = headers.get("Retry-After", "")
    return FailedError(
        detail or "the server stated no reason", status=status, title=title, retry=retry if retry.isdigit() else ""
    )
