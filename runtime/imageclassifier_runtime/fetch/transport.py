"""One HTTP exchange of the fetch step: to an address that the guard has seen, with redirects judged one by one."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import http.client
import socket
import ssl
import threading
import time
import urllib.parse
from typing import TYPE_CHECKING

from imageclassifier_runtime import __version__
from imageclassifier_runtime.errors import (
    ADDRESS_REFUSED,
    NOT_FOUND,
    UNREACHABLE,
    ModelError,
)
from imageclassifier_runtime.fetch.addresses import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imageclassifier_runtime.settings import FetchSettings

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RETRIED = frozenset({408, 425, 429})
_PORTS = {"http": 80, "https": 443}


class TransientError(ModelError):
    """A failure that another attempt may not meet; reported as ModelUnreachable when all attempts are used up."""

    def __init__(self, message: str) -> None:
        super().__init__(UNREACHABLE, message)


@dataclasses.dataclass(frozen=True)
class Target:
    """A parsed http or https URL; `str()` of it shows no credentials."""

    scheme: str
    host: str
    port: int
    path: str
    authorization: str | None = None

    @property
    def origin(self) -> tuple[str, str, int]:
        """Return what credentials are bound to."""
        return self.scheme, self.host, self.port

    def __str__(self) -> str:
        """Return the URL without credentials and without the query, which may hold a signature."""
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{port}{self.path.partition('?')[0]}"


def parse(uri: str) -> Target:
    """Parse an http or https URL; raises ModelError for anything else."""
    try:
        parts = urllib.parse.urlsplit(uri)
        port = parts.port
        host = (parts.hostname or "").encode("ascii" if ":" in (parts.hostname or "") else "idna").decode()
    except (ValueError, UnicodeError) as error:
        raise ModelError(UNREACHABLE, f"the model's URL is not valid: {error}") from error
    if parts.scheme not in _PORTS or not host:
        raise ModelError(UNREACHABLE, f"models are fetched by http:// and https:// only, not {parts.scheme!r}")
    authorization = None
    if parts.username is not None:
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode("ascii")
    path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        path += "?" + urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    return Target(parts.scheme, host, port or _PORTS[parts.scheme], path, authorization)


def redirected(current: Target, location: str) -> Target:
    """Return where a redirect leads; never from https to http, and credentials stay with their origin."""
    base = f"{current}" if "?" not in current.path else f"{current}?{current.path.partition('?')[2]}"
    following = parse(urllib.parse.urljoin(base, location))
    if current.scheme == "https" and following.scheme != "https":
        raise ModelError(ADDRESS_REFUSED, f"{current} redirects from https to {following.scheme}: refused")
    kept = current.authorization if following.origin == current.origin else None
    return dataclasses.replace(following, authorization=kept)


@contextlib.contextmanager
def get(target: Target, settings: FetchSettings, deadline: float) -> Iterator[http.client.HTTPResponse]:
    """GET a URL, following at most five redirects, and yield the answer with status 200.

    Raises ModelError: TransientError where another attempt may help. `deadline` is in `time.monotonic()` seconds.
    """
    for _hop in range(MAX_REDIRECTS + 1):
        with _exchange(target, settings, deadline) as response:
            if response.status == 200:
                encoding = response.headers.get("Content-Encoding", "identity")
                if encoding.lower() != "identity":
                    raise ModelError(UNREACHABLE, f"{target} answers with Content-Encoding {encoding}: not taken")
                yield response
                return
            if response.status not in _REDIRECTS:
                raise _status_error(target, response)
            target = redirected(target, response.headers.get("Location", ""))
    raise ModelError(UNREACHABLE, f"{target}: more than {MAX_REDIRECTS} redirects")


def _status_error(target: Target, response: http.client.HTTPResponse) -> ModelError:
    text = f"{target} answers {response.status} {response.reason}".strip()
    if response.status in {404, 410}:
        return ModelError(NOT_FOUND, text)
    if response.status >= 500 or response.status in _RETRIED:
        return TransientError(text)
    return ModelError(UNREACHABLE, text)


@contextlib.contextmanager
def _exchange(target: Target, settings: FetchSettings, deadline: float) -> Iterator[http.client.HTTPResponse]:
    """Send one request and yield its answer; any failure of the network on the way is a TransientError."""
    raw = _connect(target, settings, deadline)
    # A server that drips single bytes never meets the socket's own timeout, so the deadline cuts the connection.
    cutter = threading.Timer(max(0.0, deadline - time.monotonic()), _cut, (raw,))
    cutter.daemon = True
    cutter.start()
    try:
        stream = _secured(raw, target)
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.sock = stream
        try:
            connection.request("GET", target.path, headers=_headers(target))
            yield connection.getresponse()
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        if time.monotonic() >= deadline:
            raise ModelError(
                UNREACHABLE, f"{target}: not fetched within {settings.timeout_seconds:g} s"
            ) from error
        raise TransientError(f"{target}: {_cause(error)}") from error
    finally:
        cutter.cancel()
        raw.close()


def _connect(target: Target, settings: FetchSettings, deadline: float) -> socket.socket:
    """Connect to the first address that answers; resolved once, so it cannot change after the check."""
    failure: OSError | None = None
    for address in resolve(target.host, target.port, allow_loopback=settings.allow_loopback):
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            break
        try:
            raw = socket.create_connection(
                (address, target.port), timeout=min(settings.connect_seconds, remaining)
            )
        except OSError as error:
            failure = error
            continue
        raw.settimeout(settings.read_seconds)
        return raw
    raise TransientError(f"cannot connect to {target}: {_cause(failure) if failure else 'out of time'}")


def _secured(raw: socket.socket, target: Target) -> socket.socket:
    if target.scheme == "http":
        return raw
    return ssl.create_default_context().wrap_socket(raw, server_hostname=target.host)


def _headers(target: Target) -> dict[str, str]:
    headers = {
        "Accept": "application/octet-stream, */*",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "User-Agent": f"imageclassifier-fetch/{__version__}",
    }
    if target.authorization:
        headers["Authorization"] = target.authorization
    return headers


def _cut(raw: socket.socket) -> None:
    with contextlib.suppress(OSError):
        raw.shutdown(socket.SHUT_RDWR)


def _cause(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return str(error) or type(error).__name__
