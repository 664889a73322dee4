"""The HTTP client of `fetch`: connects only to addresses that the guard allows, and checks every redirect."""

from __future__ import annotations

import contextlib
import dataclasses
import email.utils
import http.client
import re
import socket
import time
import urllib.parse
from typing import TYPE_CHECKING, TypeAlias

from imageclassifier_runtime import __version__
from imageclassifier_runtime.errors import (
    ACCESS_DENIED,
    ADDRESS_REFUSED,
    NOT_FOUND,
    UNREACHABLE,
    ModelError,
    error_text,
)
from imageclassifier_runtime.fetch.addresses import check_literal, resolve
from imageclassifier_runtime.outbound.certificates import client_context
from imageclassifier_runtime.outbound.route import Route
from imageclassifier_runtime.outbound.tunnel import ProxyRefusedError
from imageclassifier_runtime.settings import credentials
from imageclassifier_runtime.settings.urls import shown
from imageclassifier_runtime.system.deadline import cut_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from imageclassifier_runtime.settings.commands import FetchSettings

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RETRYABLE_STATUSES = frozenset({408, 425, 429})
_PORTS = {"http": 80, "https": 443}
_MAX_ERROR_BODY = 4096
_ERROR_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")
# S3 error codes for invalid or expired credentials that come with status 400.
_DENIED_CODES = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})


Authorize: TypeAlias = "Callable[[Target, Mapping[str, str]], dict[str, str]]"
"""Returns the headers of a request with added authentication headers."""


class TransientError(ModelError):
    """A failure that may not happen again; reported as ModelUnreachable after the last attempt.

    `retry_after` is the server's Retry-After in seconds.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(UNREACHABLE, message)
        self.retry_after = retry_after


class RangeRefusedError(TransientError):
    """The server did not return the requested range, so the file must be downloaded from its first byte."""


@dataclasses.dataclass(frozen=True)
class Target:
    """A parsed http or https URL; `str()` of it does not show credentials.

    `authorize` is only used for this origin.
    """

    scheme: str
    host: str
    port: int
    path: str
    authorize: Authorize | None = dataclasses.field(default=None, repr=False)

    @property
    def origin(self) -> tuple[str, str, int]:
        """Return the origin: scheme, host and port; credentials are only sent to their origin."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Return host and port in the format of the `Host` header."""
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return (f"[{self.host}]" if ":" in self.host else self.host) + port

    def __str__(self) -> str:
        """Return the URL without credentials and without the query, which may contain a signature."""
        return shown(f"{self.scheme}://{self.authority}{self.path.partition('?')[0]}")


def parse(uri: str) -> Target:
    """Parse an http or https URL; raises ModelError for anything else."""
    try:
        parts = urllib.parse.urlsplit(uri)
        port = parts.port
        host = (parts.hostname or "").encode("ascii" if ":" in (parts.hostname or "") else "idna").decode()
    except (ValueError, UnicodeError) as error:
        # the text of the original error may contain part of a password
        text = f"{shown(uri)} is not a valid URL: check host and port; in a password, encode / as %2F and @ as %40"
        raise ModelError(UNREACHABLE, text) from error
    if parts.scheme not in _PORTS or not host:
        raise ModelError(UNREACHABLE, f"only http:// and https:// URLs are supported, not {parts.scheme!r}")
    authorize = None
    if parts.username is not None:
        user, password = urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or "")
        authorize = authorization(credentials.basic(user, password))
    path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        path += "?" + urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    return Target(parts.scheme, host, port or _PORTS[parts.scheme], path, authorize)


def authorization(value: str) -> Authorize:
    """Return a function that adds this `Authorization` header to every request."""
    return lambda _target, headers: {**headers, "Authorization": value}


def redirected(current: Target, location: str) -> Target:
    """Return the target of a redirect, with credentials only for the same origin; https to http is refused."""
    base = f"{current.scheme}://{current.authority}{current.path}"
    try:
        following = parse(urllib.parse.urljoin(base, location))
    except (ValueError, ModelError) as error:
        text = f"{current} redirects to {shown(location)[:200]}, which is not an http(s) URL"
        raise ModelError(UNREACHABLE, text) from error
    if current.scheme == "https" and following.scheme != "https":
        raise ModelError(ADDRESS_REFUSED, f"{current} redirects from https to {following.scheme}: not allowed")
    kept = current.authorize if following.origin == current.origin else None
    return dataclasses.replace(following, authorize=kept)


@contextlib.contextmanager
def get(
    target: Target, settings: FetchSettings, deadline: float, *, headers: Mapping[str, str] | None = None
) -> Iterator[http.client.HTTPResponse]:
    """GET a URL, following at most five redirects, and yield the response: status 200, or 206 to a `Range`.

    Raises ModelError: TransientError if another attempt may succeed. `deadline` is in `time.monotonic()` seconds.
    """
    requested = headers or {}
    for _hop in range(MAX_REDIRECTS + 1):
        route = Route.to(target.scheme, target.host, target.port, settings.proxies)
        with _exchange(target, route, settings, deadline, requested) as response:
            if response.status == 200 or (response.status == 206 and "Range" in requested):
                encoding = response.headers.get("Content-Encoding", "identity")
                if encoding.lower() != "identity":
                    raise ModelError(UNREACHABLE, f"{target}: unsupported Content-Encoding {encoding}")
                yield response
                return
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                raise _status_error(target, route, response)
            target = redirected(target, location)
    raise ModelError(UNREACHABLE, f"{target}: more than {MAX_REDIRECTS} redirects")


def _status_error(target: Target, route: Route, response: http.client.HTTPResponse) -> ModelError:
    """Return the error for a response, with the error code of S3 (in the body) or Hugging Face (in a header)."""
    body = b""
    with contextlib.suppress(OSError, http.client.HTTPException):
        body = response.read(_MAX_ERROR_BODY)
    match = _ERROR_CODE.search(body)
    code = match[1].decode() if match else response.headers.get("X-Error-Code", "")[:64]
    text = f"{target}{route} responded {response.status} {response.reason}".strip() + (
        f" ({code})" if code else ""
    )
    region = response.headers.get("x-amz-bucket-region")
    if region and response.status in {301, 400}:
        return ModelError(UNREACHABLE, f"{text}: the bucket is in the region {region[:64]}")
    if response.status in {404, 410}:
        return ModelError(NOT_FOUND, text)
    if response.status == 403 and route.is_forwarded and target.authorize is None and not code:
        return ModelError(UNREACHABLE, f"{text}: the source or the proxy refused the request")
    if response.status in {401, 403} or code in _DENIED_CODES:
        return ModelError(ACCESS_DENIED, text)
    if response.status == 416:
        return RangeRefusedError(text)
    if response.status >= 500 or response.status in _RETRYABLE_STATUSES:
        return TransientError(text, retry_after=_retry_after(response))
    return ModelError(UNREACHABLE, text)


def _retry_after(response: http.client.HTTPResponse) -> float | None:
    """Return the `Retry-After` of a response, a number of seconds or a date, in seconds (RFC 9110, 10.2.3)."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0.0, moment - time.time())


@contextlib.contextmanager
def _exchange(
    target: Target, route: Route, settings: FetchSettings, deadline: float, requested: Mapping[str, str]
) -> Iterator[http.client.HTTPResponse]:
    """Send one request and yield its response; network errors become TransientErrors."""
    raw = _connect(target, route, settings, deadline)
    try:
        with cut_at(raw, deadline):
            connection = route.connection(
                raw,
                client_context(settings.ca_dir) if route.secure else None,
                proxy_context=client_context(settings.ca_dir) if route.secure_proxy else None,
            )
            try:
                headers = {**_headers(target, requested), **route.headers}
                connection.request("GET", route.request_target(target.path), headers=headers)
                response = connection.getresponse()
                route.check_response(response)
                yield response
            finally:
                connection.close()
    except ProxyRefusedError as error:
        text = f"{target}{route}: {error}"
        raise (TransientError(text) if error.retryable else ModelError(UNREACHABLE, text)) from error
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(f"{target}{route}: {error_text(error)}") from error
    finally:
        raw.close()


def _connect(target: Target, route: Route, settings: FetchSettings, deadline: float) -> socket.socket:
    """Connect to the first reachable address of the server or its proxy.

    The name is resolved once, so that the address cannot change after the check.
    """
    failure: OSError | None = None
    port = route.address[1]
    for address in _addresses(target, route, settings):
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            break
        try:
            raw = socket.create_connection((address, port), timeout=min(settings.connect_seconds, remaining))
        except OSError as error:
            failure = error
            continue
        raw.settimeout(settings.read_seconds)
        return raw
    raise TransientError(f"cannot connect to {target}{route}: {error_text(failure) if failure else 'timed out'}")


def _addresses(target: Target, route: Route, settings: FetchSettings) -> list[str]:
    """Return the addresses to connect to; raises ModelError if they, or the server's own address, are refused.

    A proxy resolves the name of the server itself, so only a server that is given by its address can be checked.
    """
    host, port = route.address
    if route.proxy is None:
        return resolve(host, port, allow_loopback=settings.allow_loopback)
    check_literal(target.host, allow_loopback=settings.allow_loopback)
    try:
        return resolve(host, port, allow_loopback=settings.allow_loopback)
    except ModelError as error:
        raise ModelError(error.reason, f"the proxy {route.proxy}: {error.message}") from error


def _headers(target: Target, requested: Mapping[str, str]) -> dict[str, str]:
    headers = {
        "Host": target.authority,
        "Accept": "application/octet-stream, */*",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "User-Agent": f"imageclassifier-fetch/{__version__}",
        **requested,
    }
    return target.authorize(target, headers) if target.authorize else headers
