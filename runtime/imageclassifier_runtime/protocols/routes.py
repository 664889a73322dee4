"""Routes that are in the OpenAPI document but call their endpoint with nothing in between.

A path without variables needs no router either, and nothing that a framework adds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from imageclassifier_runtime.request import scope_keys

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send


Endpoint = Callable[[Request], Awaitable[Response]]


class Add(Protocol):
    """Registers one endpoint; `extra` is what the OpenAPI document says about it."""

    def __call__(self, path: str, endpoint: Endpoint, method: str = "GET", **extra: Any) -> None:
        """Register it."""


class BareRoute(APIRoute):
    """Requests are checked by hand, answers are made by hand."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint itself."""
        return self.endpoint


def adder(app: FastAPI, direct: dict[tuple[str, str], Endpoint]) -> Add:
    """Return what registers endpoints of this application; those of paths without variables in `direct` too."""
    app.router.route_class = BareRoute

    def add(path: str, endpoint: Endpoint, method: str = "GET", **extra: Any) -> None:
        if "{" not in path:
            direct[method, path] = endpoint
        app.router.add_api_route(
            path, endpoint, methods=[method], response_model=None, response_class=Response, **extra
        )

    return add


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
