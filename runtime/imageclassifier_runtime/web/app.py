"""Factory of the HTTP application: routes, error handlers and their shared state; no globals."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response

from imageclassifier_runtime import __version__
from imageclassifier_runtime.protocols.native import Classify
from imageclassifier_runtime.protocols.routes import DirectDispatch, route_registrar
from imageclassifier_runtime.protocols.schemas import native as native_schemas
from imageclassifier_runtime.protocols.schemas import v1 as v1_schemas
from imageclassifier_runtime.protocols.schemas.document import complete
from imageclassifier_runtime.protocols.v1 import PredictProtocol
from imageclassifier_runtime.protocols.v2.endpoints import InferenceProtocol
from imageclassifier_runtime.request.paths import API, protocol_of
from imageclassifier_runtime.request.responses import json_response
from imageclassifier_runtime.telemetry.metrics import CONTENT_TYPE
from imageclassifier_runtime.web.access_log import ObservabilityMiddleware
from imageclassifier_runtime.web.authentication import with_authentication
from imageclassifier_runtime.web.docs_page import render
from imageclassifier_runtime.web.front import Front

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from imageclassifier_runtime.protocols.routes import AddRoute, Endpoint
    from imageclassifier_runtime.protocols.state import ServerState


def create_app(state: ServerState) -> ASGIApp:
    """Return the ASGI application of one server."""
    app = FastAPI(
        title="imageclassifier",
        version=__version__,
        description=native_schemas.DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    direct: dict[tuple[str, str], Endpoint] = {}
    add = route_registrar(app, direct)
    _add_api(add, state)
    InferenceProtocol(state).add_routes(add)
    PredictProtocol(state).add_routes(add)
    add("/", Front().root, **v1_schemas.LIVE)
    _add_pages(app, state)
    _add_error_handlers(app)
    return ObservabilityMiddleware(with_authentication(DirectDispatch(app, direct), state), state)


def _add_api(add: AddRoute, state: ServerState) -> None:
    async def live(_: Request) -> Response:
        return json_response({"status": "alive"})

    async def ready(_: Request) -> Response:
        return _health(state)

    async def info(_: Request) -> Response:
        return json_response(model_info(state))

    classify = Classify(state)
    add(f"{API}/classify", classify.one, "POST", **native_schemas.classify(state.settings))
    add(f"{API}/classify/batch", classify.batch, "POST", **native_schemas.classify_batch(state))
    add(f"{API}/health", ready, **native_schemas.HEALTH)
    add(f"{API}/health/ready", ready, **native_schemas.READY)
    add(f"{API}/health/live", live, **native_schemas.LIVE)
    add(f"{API}/model/info", info, **native_schemas.MODEL_INFO)


def _add_pages(app: FastAPI, state: ServerState) -> None:
    async def metrics(_: Request) -> Response:
        return Response(state.metrics.render(), media_type=CONTENT_TYPE)

    @functools.cache
    def openapi() -> dict[str, Any]:
        keys, rates = state.keys is not None, state.settings.rate_limit is not None
        return complete(app.openapi(), keys=keys, rates=rates)

    @functools.cache
    def page() -> str:
        return render(openapi())

    async def document(_: Request) -> Response:
        return json_response(openapi())

    async def docs(_: Request) -> Response:
        return HTMLResponse(page())

    for path, endpoint in {"/metrics": metrics, "/openapi.json": document, "/docs": docs}.items():
        app.router.add_route(path, endpoint, methods=["GET"], include_in_schema=False)


def _add_error_handlers(app: FastAPI) -> None:
    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path: str = request.scope["path"]  # `request.url` fails for a query that is not UTF-8
        detail = f"{path[:200]} was not found; see /docs." if error.status_code == 404 else ""
        if error.status_code == 405:
            detail = f"{request.method[:20]} is not allowed for {path[:200]}; see /docs."
        return protocol_of(path).errors.status_response(
            error.status_code, detail or str(error.detail), dict(error.headers or {})
        )

    async def disconnected(_: Request, __: Exception) -> Response:
        return Response(status_code=499)  # it is not sent; the status only appears in the log

    async def internal_error(request: Request, _: Exception) -> Response:
        detail = "Internal server error; see the server's log for this request's id."
        return protocol_of(request.scope["path"]).errors.status_response(500, detail, None)

    app.add_exception_handler(Exception, internal_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(ClientDisconnect, disconnected)


def _health(state: ServerState) -> Response:
    lifecycle = state.lifecycle
    content = {
        "status": lifecycle.state,
        "model": state.classifier.model.info.name,
        "waiting": state.admission.queue_depth,
        "running": state.admission.in_flight,
    }
    return json_response(content) if lifecycle.up else json_response(content, 503, {"Retry-After": "1"})


def model_info(state: ServerState) -> dict[str, object]:
    """Return the content of `/api/v1/model/info`: the model's metadata and this server's limits."""
    model, settings = state.classifier.model, state.settings
    preprocessing = model.preprocessing
    return {
        **model.info.to_dict(),
        "labels": list(model.labels),
        "preprocessing": json.loads(preprocessing.to_json()),
        "limits": {
            "max_image_bytes": settings.max_image_bytes,
            "max_image_pixels": settings.max_image_pixels,
            "max_queue_size": settings.max_queue_size,
        },
    }
