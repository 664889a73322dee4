"""The factory of the HTTP application: routes, error handlers and what they share, nothing global."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response

from imageclassifier_runtime import __version__
from imageclassifier_runtime.metrics import CONTENT_TYPE
from imageclassifier_runtime.web import openapi
from imageclassifier_runtime.web.classify import Classify
from imageclassifier_runtime.web.docs_page import render
from imageclassifier_runtime.web.observe import Observe
from imageclassifier_runtime.web.problems import problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from starlette.types import ASGIApp

    from imageclassifier_runtime.web.state import ServerState

API = "/api/v1"


class BareRoute(APIRoute):
    """A route that is in the OpenAPI document but calls its endpoint with nothing in between."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint itself: requests are checked by hand, answers are made by hand."""
        return self.endpoint


def create_app(state: ServerState) -> ASGIApp:
    """Return the ASGI application of one server."""
    app = FastAPI(
        title="imageclassifier",
        version=__version__,
        description=openapi.DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.router.route_class = BareRoute
    _add_api(app, state)
    _add_pages(app, state)
    _add_error_handlers(app)
    return Observe(app, state)


def _add_api(app: FastAPI, state: ServerState) -> None:
    def add(path: str, endpoint: Callable[..., Awaitable[Response]], method: str = "GET", **extra: Any) -> None:
        app.router.add_api_route(
            path, endpoint, methods=[method], response_model=None, response_class=Response, **extra
        )

    async def live(_: Request) -> Response:
        return _json({"status": "alive"})

    async def ready(_: Request) -> Response:
        return _health(state)

    async def info(_: Request) -> Response:
        return _json(model_info(state))

    classify = Classify(state)

    async def classify_image(request: Request) -> Response:
        return await classify(request)

    add(f"{API}/classify", classify_image, "POST", **openapi.classify(state.settings))
    add(f"{API}/health", ready, **openapi.health("Summary of the server's health"))
    add(f"{API}/health/ready", ready, **openapi.health("Whether requests should be sent here"))
    add(f"{API}/health/live", live, **openapi.live())
    add(f"{API}/model/info", info, **openapi.model_info())


def _add_pages(app: FastAPI, state: ServerState) -> None:
    async def metrics(_: Request) -> Response:
        return Response(state.metrics.render(), media_type=CONTENT_TYPE)

    async def document(_: Request) -> Response:
        return _json(app.openapi())

    async def docs(_: Request) -> Response:
        return HTMLResponse(render(app.openapi()))

    for path, endpoint in {"/metrics": metrics, "/openapi.json": document, "/docs": docs}.items():
        app.router.add_route(path, endpoint, methods=["GET"], include_in_schema=False)


def _add_error_handlers(app: FastAPI) -> None:
    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        detail = f"There is no {request.url.path[:200]} here; see /docs." if error.status_code == 404 else ""
        if error.status_code == 405:
            detail = f"{request.method[:20]} is not allowed for {request.url.path[:200]}; see /docs."
        headers = dict(error.headers or {})
        return problem(error.status_code, detail=detail or str(error.detail), headers=headers)

    async def gone(_: Request, __: Exception) -> Response:
        return Response(status_code=499)  # nobody reads it; the log line shows it

    async def fault(_: Request, __: Exception) -> Response:
        return problem(500, detail="A fault of the server; its log has the cause under this request's id.")

    app.add_exception_handler(Exception, fault)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(ClientDisconnect, gone)


def _health(state: ServerState) -> Response:
    lifecycle = state.lifecycle
    up = lifecycle.ready and not lifecycle.draining
    content = {
        "status": lifecycle.state,
        "model": state.classifier.model.info.name,
        "waiting": state.admission.waiting,
        "running": state.admission.running,
    }
    response = _json(content, 200 if up else 503)
    if not up:
        response.headers["Retry-After"] = "1"
    return response


def model_info(state: ServerState) -> dict[str, object]:
    """Return what `/api/v1/model/info` shows: the model's facts, and what this server takes."""
    model, settings = state.classifier.model, state.settings
    how = model.preprocessing
    return {
        **model.info.to_dict(),
        "labels": list(model.labels),
        "preprocessing": json.loads(how.to_json()),
        "limits": {
            "max_image_bytes": settings.max_image_bytes,
            "max_image_pixels": settings.max_image_pixels,
            "max_queue_size": settings.max_queue_size,
        },
    }


def _json(content: object, status: int = 200) -> Response:
    return Response(json.dumps(content, ensure_ascii=False).encode(), status, media_type="application/json")
