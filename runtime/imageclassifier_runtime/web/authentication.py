"""Runs before everything else: API keys, rate limits, and the client's address behind trusted proxies.

It decides from the headers alone, before any byte of a body is read. If none of these is configured, the
middleware is not installed.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from imageclassifier_runtime.auth.caller import Caller, set_caller
from imageclassifier_runtime.auth.client_address import UNKNOWN, account_of, client_of
from imageclassifier_runtime.auth.keys import MAX_KEYS
from imageclassifier_runtime.auth.rate_limits import Buckets
from imageclassifier_runtime.errors import RateLimitedError, RequestError, UnauthorizedError
from imageclassifier_runtime.request import scope_keys
from imageclassifier_runtime.request.body import BodyReader, early_response
from imageclassifier_runtime.request.paths import is_open, is_probe, protocol_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from imageclassifier_runtime.auth.key_files import KeyFiles
    from imageclassifier_runtime.protocols.state import ServerState
    from imageclassifier_runtime.settings.commands import ServeSettings

_MAX_ADDRESSES = 4096
"""Most addresses with a bucket: about 1 MiB."""

_HOW_TO_SEND = "send it as `Authorization: Bearer KEY` or as `X-API-Key: KEY`"


def with_authentication(app: ASGIApp, state: ServerState) -> ASGIApp:
    """Return the application wrapped in AuthMiddleware, or unchanged if the settings need none."""
    settings = state.settings
    if state.keys is None and settings.rate_limit is None and not settings.trusted_proxies:
        return app
    return AuthMiddleware(app, state)


class AuthMiddleware:
    """ASGI middleware, right inside `ObservabilityMiddleware`."""

    def __init__(self, app: ASGIApp, state: ServerState, clock: Callable[[], float] = time.monotonic) -> None:
        settings = state.settings
        self._app = app
        self._rejected = state.metrics.rejected
        self._trusted = settings.trusted_proxies
        self._clock = clock
        self._files = state.keys
        self._refresh_seconds = settings.api_keys_seconds
        self._refresh_at = clock() + self._refresh_seconds
        # Two tables, so that no number of addresses, which are free to obtain, can evict a key's bucket.
        self._by_key = _buckets(settings, MAX_KEYS, clock)
        self._by_address = _buckets(settings, _MAX_ADDRESSES, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept or reject a request; probes and metrics are always accepted."""
        if scope["type"] != "http" or is_probe(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            await self._check(scope)
        except RequestError as error:
            self._rejected.labels(error.reason).inc()
            scope[scope_keys.REASON] = error.reason
            response = protocol_of(scope["path"]).errors.error_response(error)
            await early_response(response, BodyReader(receive), scope["headers"])(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _check(self, scope: Scope) -> None:
        """Apply the rate limit and check the API key; raises RateLimitedError, UnauthorizedError."""
        peer = scope.get("client")
        address = client_of(peer[0] if peer else None, scope["headers"], self._trusted)
        caller = Caller(str(address) if address is not None else UNKNOWN)
        set_caller(scope, caller)
        presented: list[bytes] = []
        if self._files is not None:
            presented = _keys_in(scope["headers"])
            caller.key = await self._name_of(self._files, presented)
        if caller.key is not None:
            caller.buckets, caller.account = self._by_key, caller.key
        else:
            caller.buckets, caller.account = self._by_address, account_of(address)
        if caller.buckets is not None:
            seconds = caller.buckets.take(caller.account)
            if seconds:
                whose = "this key" if caller.key is not None else "this address"
                raise RateLimitedError(f"Too many requests from {whose}. Retry in {seconds} s.", seconds=seconds)
        if self._files is not None and caller.key is None and not is_open(scope["method"], scope["path"]):
            raise _unauthorized(presented)

    async def _name_of(self, files: KeyFiles, presented: list[bytes]) -> str | None:
        now = self._clock()
        if now >= self._refresh_at:
            # The first request after the interval waits for the refresh; others use the previous keys until then.
            self._refresh_at = math.inf
            try:
                await asyncio.to_thread(files.refresh)
            finally:
                self._refresh_at = now + self._refresh_seconds
        return files.keys.name_of(presented[0]) if len(presented) == 1 else None


def _buckets(settings: ServeSettings, max_buckets: int, clock: Callable[[], float]) -> Buckets | None:
    rate = settings.rate_limit
    if rate is None:
        return None
    burst = settings.rate_limit_burst or max(1, math.ceil(rate))
    return Buckets(per_second=rate, burst=burst, max_buckets=max_buckets, clock=clock)


def _keys_in(headers: list[tuple[bytes, bytes]]) -> list[bytes]:
    """Return the distinct keys in a request; other schemes of Authorization are ignored."""
    found: dict[bytes, None] = {}
    for name, value in headers:
        if name == b"x-api-key":
            found[value.strip()] = None
        elif name == b"authorization":
            scheme, _, rest = value.strip().partition(b" ")
            if scheme.lower() == b"bearer":
                found[rest.strip()] = None
    return list(found)


def _unauthorized(presented: list[bytes]) -> UnauthorizedError:
    if not presented:
        return UnauthorizedError(f"An API key is required: {_HOW_TO_SEND}.", presented=False)
    if len(presented) > 1:
        return UnauthorizedError("The request has two different API keys: send one.", presented=True)
    return UnauthorizedError(f"Unknown API key. If the key is correct, {_HOW_TO_SEND}.", presented=True)
