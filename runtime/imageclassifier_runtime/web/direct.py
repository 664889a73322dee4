"""The short way to an endpoint: a path without variables needs no router, and nothing that a framework adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from imageclassifier_runtime.request import scope_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from imageclassifier_runtime.web.routes import Endpoint


class Direct:
    """ASGI middleware: calls what `endpoints` names by method and path; all else goes on to `app`."""

    def __init__(self, app: ASGIApp, endpoints: Mapping[tuple[str, str], Endpoint]) -> None:
        self._app = app
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what the endpoint does not catch is for whoever is around this."""
        endpoint = self._endpoints.get((scope["method"], scope["path"]))
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        scope[scope_keys.ROUTE] = scope["path"]
        try:
            response = await endpoint(Request(scope, receive))
        except ClientDisconnect:
            response = Response(status_code=499)  # nobody reads it; the log line shows it
        await response(scope, receive, send)
