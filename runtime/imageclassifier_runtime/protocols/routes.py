"""Routes that are in the OpenAPI document but call their endpoint directly.

Paths without variables also bypass the router and the framework's middleware.
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


class AddRoute(Protocol):
    """Registers one endpoint; `extra` is its description in the OpenAPI document."""

    def __call__(self, path: str, endpoint: Endpoint, method: str = "GET", **extra: Any) -> None:
        """Register it."""


class DirectRoute(APIRoute):
    """A route without FastAPI's validation and serialization."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint itself."""
        return self.endpoint


def route_registrar(app: FastAPI, direct: dict[tuple[str, str], Endpoint]) -> AddRoute:
    """Return a function that registers endpoints in `app`, and those with constant paths in `direct` too."""
    app.router.route_class = DirectRoute

    def add(path: str, endpoint: Endpoint, method: str = "GET", **extra: Any) -> None:
        if "{" not in path:
            direct[method, path] = endpoint
        app.router.add_api_route(
            path, endpoint, methods=[method], response_model=None, response_class=Response, **extra
        )

    return add


class DirectDispatch:
    """ASGI middleware: calls the endpoint for a method and path directly; everything else goes to `app`."""

    def __init__(self, app: ASGIApp, endpoints: Mapping[tuple[str, str], Endpoint]) -> None:
        self._app = app
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the endpoint's exceptions propagate."""
        endpoint = self._endpoints.get((scope["method"], scope["path"]))
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        scope[scope_keys.ROUTE] = scope["path"]
        try:
            response = await endpoint(Request(scope, receive))
        except ClientDisconnect:
            response = Response(status_code=499)  # it is not sent; the status only appears in the log
        await response(scope, receive, send)
