"""Routes that are in the OpenAPI document but call their endpoint with nothing in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from fastapi import FastAPI


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
