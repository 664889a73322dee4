"""Routes that are in the OpenAPI document but call their endpoint with nothing in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from fastapi.routing import APIRoute
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from fastapi import FastAPI
    from starlette.requests import Request


class Add(Protocol):
    """Registers one endpoint; `extra` is what the OpenAPI document says about it."""

    def __call__(
        self, path: str, endpoint: Callable[[Request], Awaitable[Response]], method: str = "GET", **extra: Any
    ) -> None:
        """Register it."""


class BareRoute(APIRoute):
    """Requests are checked by hand, answers are made by hand."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint itself."""
        return self.endpoint


def adder(app: FastAPI) -> Add:
    """Return what registers endpoints of this application."""
    app.router.route_class = BareRoute

    def add(
        path: str, endpoint: Callable[[Request], Awaitable[Response]], method: str = "GET", **extra: Any
    ) -> None:
        app.router.add_api_route(
            path, endpoint, methods=[method], response_model=None, response_class=Response, **extra
        )

    return add
