"""Asks an API server with nothing but the standard library, so that the cluster's own parts stay small."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import tempfile
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from e2e.cluster.errors import ClusterError

if TYPE_CHECKING:
    from pathlib import Path

Object = dict[str, Any]


class ApiError(ClusterError):
    """The API server said no."""

    def __init__(self, method: str, path: str, code: int, message: str) -> None:
        super().__init__(f"{method} {path}: {code} {message}")
        self.code = code


def _message(answer: bytes) -> str:
    """What a refusal says, whether it is Kubernetes' own object or plain text."""
    text = answer.decode(errors="replace")
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:500]


class Api:
    """A client for one kubeconfig, as `pki.write_kubeconfig` writes it."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        user = config["users"][0]["user"]
        address = urlsplit(cluster["server"])
        self._host, self._port = str(address.hostname), address.port or 443
        ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=ca)
        with tempfile.NamedTemporaryFile() as file:
            file.write(base64.b64decode(user["client-certificate-data"]))
            file.write(base64.b64decode(user["client-key-data"]))
            file.flush()
            self._tls.load_cert_chain(file.name)

    def _connect(self, timeout: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)

    def ready(self) -> bool:
        """Whether the API server says that it is ready."""
        try:
            connection = self._connect(2)
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            answer.read()
            connection.close()
        except (OSError, http.client.HTTPException):
            return False
        return answer.status == 200

    def request(self, method: str, path: str, body: Object | None = None, *, timeout: float = 10) -> Object:
        """One request; raises ApiError for every answer that is not a success."""
        connection = self._connect(timeout)
        try:
            content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": content_type})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(method, path, 0, str(error)) from error
        finally:
            connection.close()
        if answer.status >= 300:
            raise ApiError(method, path, answer.status, _message(text))
        result: Object = json.loads(text)
        return result

    def items(self, path: str) -> list[Object]:
        """The items of a list."""
        found: list[Object] = self.request("GET", path)["items"]
        return found
