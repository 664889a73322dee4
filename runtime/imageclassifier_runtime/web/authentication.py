"""The gate before everything else: API keys, rates, and whose request it is behind trusted proxies.

It answers from the headers alone, before one byte of a body is read. Where nothing of this is asked for, there is
no gate at all, and the way in costs nothing.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from imageclassifier_runtime.auth.caller import Caller, note
from imageclassifier_runtime.auth.client_address import UNKNOWN, account_of, client_of
from imageclassifier_runtime.auth.keys import MOST_KEYS
from imageclassifier_runtime.auth.rate_limits import Buckets
from imageclassifier_runtime.errors import RateLimitedError, RequestError, UnauthorizedError
from imageclassifier_runtime.request import scope_keys
from imageclassifier_runtime.request.body import BodyReader, refusal
from imageclassifier_runtime.request.paths import is_open, is_probe, protocol_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from imageclassifier_runtime.auth.key_files import KeyFiles
    from imageclassifier_runtime.protocols.state import ServerState
    from imageclassifier_runtime.settings.commands import ServeSettings

_MOST_ADDRESSES = 4096
"""Of which something is remembered: about a MiB."""

_HOW = "send it as `Authorization: Bearer KEY` or as `X-API-Key: KEY`"


def guarded(app: ASGIApp, state: ServerState) -> ASGIApp:
    """Return the application behind a gate, or itself where the settings ask for none."""
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
        self._every = settings.api_keys_seconds
        self._look_at = clock() + self._every
        # Two tables, so that no number of addresses, which cost nothing, can push a key's bucket out of memory.
        self._by_key = _buckets(settings, MOST_KEYS, clock)
        self._by_address = _buckets(settings, _MOST_ADDRESSES, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it here; probes and metrics always come in."""
        if scope["type"] != "http" or is_probe(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            await self._check(scope)
        except RequestError as error:
            self._rejected.labels(error.reason).inc()
            scope[scope_keys.REASON] = error.reason
            answer = protocol_of(scope["path"]).of_error(error)
            await refusal(answer, BodyReader(receive), scope["headers"])(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _check(self, scope: Scope) -> None:
        """Count the request and look at its key; raises RateLimitedError, UnauthorizedError."""
        peer = scope.get("client")
        address = client_of(peer[0] if peer else None, scope["headers"], self._trusted)
        caller = Caller(str(address) if address is not None else UNKNOWN)
        note(scope, caller)
        presented: list[bytes] = []
        if self._files is not None:
            presented = _presented(scope["headers"])
            caller.key = await self._name_of(self._files, presented)
        if caller.key is not None:
            caller.buckets, caller.account = self._by_key, caller.key
        else:
            caller.buckets, caller.account = self._by_address, account_of(address)
        if caller.buckets is not None:
            seconds = caller.buckets.take(caller.account)
            if seconds:
                whose = "this key" if caller.key is not None else "this address"
                raise RateLimitedError(f"Too many requests of {whose}. Try again in {seconds} s.", seconds=seconds)
        if self._files is not None and caller.key is None and not is_open(scope["method"], scope["path"]):
            raise _unauthorized(presented)

    async def _name_of(self, files: KeyFiles, presented: list[bytes]) -> str | None:
        now = self._clock()
        if now >= self._look_at:
            # The one that finds it due waits for it; others go on with the keys of before meanwhile.
            self._look_at = math.inf
            try:
                await asyncio.to_thread(files.refresh)
            finally:
                self._look_at = now + self._every
        return files.keys.name_of(presented[0]) if len(presented) == 1 else None


def _buckets(settings: ServeSettings, most: int, clock: Callable[[], float]) -> Buckets | None:
    rate = settings.rate_limit
    if rate is None:
        return None
    burst = settings.rate_limit_burst or max(1, math.ceil(rate))
    return Buckets(per_second=rate, burst=burst, most=most, clock=clock)


def _presented(headers: list[tuple[bytes, bytes]]) -> list[bytes]:
    """Return the different keys that a request has; other schemes of Authorization are somebody else's."""
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
        return UnauthorizedError(f"This server wants an API key: {_HOW}.", presented=False)
    if len(presented) > 1:
        return UnauthorizedError("The request has two different API keys: send one.", presented=True)
    return UnauthorizedError(f"This API key is not known here. If it is right, {_HOW}.", presented=True)
