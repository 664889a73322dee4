"""Asks a server over HTTP, with the standard library alone, and tells its refusals in its own words."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from imageclassifier_runtime.classify_command.problem import Answer, FailedError, UnreachableError

_CONNECT_SECONDS, _ANSWER_SECONDS = 10.0, 90.0
_LONGEST_ANSWER = 1 << 20
_LONGEST_DETAIL = 1000


class Remote:
    """A server at a base URL; one connection per photograph, no redirects, no proxies."""

    max_bytes = 1 << 30
    """More than any server can be told to take; what it takes it says itself."""

    def __init__(self, url: str, *, key: str = "") -> None:
        self._url = url
        self._parts = urlsplit(url)
        self._headers = {"Content-Type": "application/octet-stream", "Accept": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"

    def ask(self, data: bytes, count: int) -> Answer:
        """Return what the server answers; raises FailedError, UnreachableError."""
        connection = self._connect()
        try:
            status, headers, body = self._exchange(connection, data, count)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise FailedError(f"{self._url} gave no whole answer: {_text(error)}") from error
        finally:
            connection.close()
        return _answer(status, headers, body, self._url)

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
            raise UnreachableError(f"{self._url} cannot be spoken to over TLS: {_text(error)}") from error
        except (OSError, UnicodeError) as error:
            raise UnreachableError(
                f"{self._url} does not answer ({_text(error)}): does the server run, and is this its address?"
            ) from error
        connection.sock.settimeout(_ANSWER_SECONDS)
        return connection

    def _exchange(
        self, connection: http.client.HTTPConnection, data: bytes, count: int
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        path = f"{self._parts.path}/api/v1/classify?top_k={count}"
        # A refusal can come, and the connection end, before the whole photograph is sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", path, data, self._headers)
        response = connection.getresponse()
        body = response.read(_LONGEST_ANSWER + 1)
        if len(body) > _LONGEST_ANSWER:
            raise ValueError(f"it is longer than {_LONGEST_ANSWER} bytes")
        return response.status, response.headers, body


def _answer(status: int, headers: http.client.HTTPMessage, body: bytes, url: str) -> Answer:
    try:
        document: Any = json.loads(body)
    except ValueError:
        document = None
    if status != HTTPStatus.OK:
        raise _refusal(status, headers, document)
    if not _is_answer(document):
        raise FailedError(f"{url} answers, but not as an image classifier: is this its address?")
    return {name: document[name] for name in ("predictions", "model", "timings_ms")}


def _is_answer(document: Any) -> bool:
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


def _refusal(status: int, headers: http.client.HTTPMessage, document: Any) -> FailedError:
    said = document if isinstance(document, dict) else {}
    detail = str(said.get("detail") or "")[:_LONGEST_DETAIL]
    if 300 <= status < 400:
        detail = f"it points to {headers.get('Location', 'another address')[:200]}: give that address"
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    title = str(said.get("title") or phrase)[:200]
    retry = headers.get("Retry-After", "")
    return FailedError(
        detail or "the server gave no reason", status=status, title=title, retry=retry if retry.isdigit() else ""
    )


def _text(error: Exception) -> str:
    """Return an error's words for a person."""
    if isinstance(error, TimeoutError):
        return "timed out"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
