"""The Open Inference Protocol v2 over HTTP: health, metadata, repository index and inference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request  # noqa: TC002 - FastAPI reads the endpoints' annotations

from imageclassifier_runtime import __version__
from imageclassifier_runtime.errors import BodyInvalidError, RefusedError
from imageclassifier_runtime.protocols import bounded_json
from imageclassifier_runtime.protocols.model_signature import (
    DEFAULT_CLASSES,
    VERSION,
    check_encoding,
    check_model,
    for_model,
    signature_of,
)
from imageclassifier_runtime.protocols.request_context import RequestContext, handle
from imageclassifier_runtime.protocols.schemas import v2 as v2_schemas
from imageclassifier_runtime.protocols.v2 import request as v2_request
from imageclassifier_runtime.protocols.v2 import response as v2_response
from imageclassifier_runtime.request.paths import V2
from imageclassifier_runtime.request.responses import json_response

if TYPE_CHECKING:
    from starlette.responses import Response

    from imageclassifier_runtime.protocols.routes import AddRoute
    from imageclassifier_runtime.protocols.state import ServerState

_EXTENSIONS = ["binary_tensor_data", "classification"]
_MAX_INDEX_REQUEST = 4096


class InferenceProtocol:
    """The endpoints; one instance per server."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._signature = signature_of(state.classifier)

    def add_routes(self, add: AddRoute) -> None:
        """Register every path."""
        add("/v2", self.server, **v2_schemas.SERVER)
        add("/v2/health/live", self.live, **v2_schemas.LIVE)
        add("/v2/health/ready", self.ready, **v2_schemas.READY)
        add("/v2/models", self.models, **v2_schemas.MODELS)
        for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
            add(path, self.model, **v2_schemas.MODEL)
            add(f"{path}/ready", self.model_ready, **v2_schemas.MODEL_READY)
            add(f"{path}/infer", self.infer, "POST", **v2_schemas.infer(self._signature))
        add("/v2/repository/index", self.index, "POST", **v2_schemas.INDEX)
        for action in ("load", "unload"):
            add(f"/v2/repository/models/{{name}}/{action}", self.refuse, "POST", **v2_schemas.refused(action))

    async def server(self, _: Request) -> Response:
        """Report the server's name, version and extensions."""
        return json_response({"name": "imageclassifier", "version": __version__, "extensions": _EXTENSIONS})

    async def live(self, _: Request) -> Response:
        """Report liveness."""
        return json_response({"live": True})

    async def ready(self, _: Request) -> Response:
        """Report whether the server accepts requests."""
        return self._readiness({})

    async def models(self, _: Request) -> Response:
        """List the model."""
        return json_response({"models": [self._signature.model]})

    async def model(self, request: Request) -> Response:
        """Describe the model's tensors."""
        return for_model(request, self._signature, lambda: json_response(self._metadata()))

    async def model_ready(self, request: Request) -> Response:
        """Report whether the model is ready; it is ready when the server is."""
        return for_model(request, self._signature, lambda: self._readiness({"name": self._signature.model}))

    async def index(self, request: Request) -> Response:
        """List the model as Triton's repository index does."""
        return await handle(self._state, request, self._index, V2)

    async def infer(self, request: Request) -> Response:
        """Infer: images in, classes out; tensors in, scores out."""
        return await handle(self._state, request, self._infer, V2)

    async def refuse(self, request: Request) -> Response:
        """Refuse to load or unload."""
        return await handle(self._state, request, self._refuse, V2)

    async def _infer(self, context: RequestContext) -> Response:
        check_model(context.request, self._signature)
        check_encoding(context.request)
        request = await v2_request.read(context, self._signature)
        top_k = max((output.top or 0 for output in request.outputs), default=0) or DEFAULT_CLASSES
        outcomes = await context.process_all(request.items, top_k)
        return v2_response.render(request, outcomes, self._signature)

    async def _index(self, context: RequestContext) -> Response:
        body = await context.read(limit=_MAX_INDEX_REQUEST, stated_limit=_MAX_INDEX_REQUEST)
        options = await bounded_json.convert(
            context, body, numbers=0, read=lambda: bounded_json.parse(body or b"{}")
        )
        if not isinstance(options, dict):
            raise BodyInvalidError("The request must be an object, or empty.")
        up = self._state.lifecycle.up
        if options.get("ready") is True and not up:
            return json_response([])
        reason = "" if up else self._state.lifecycle.state
        state = "READY" if up else "UNAVAILABLE"
        return json_response(
            [{"name": self._signature.model, "version": VERSION, "state": state, "reason": reason}]
        )

    async def _refuse(self, _: RequestContext) -> Response:
        raise RefusedError(
            "Loading and unloading models is not supported: a server has one model for its lifetime. "
            "Change the ImageClassifier object, or the model folder of `serve`."
        )

    def _readiness(self, facts: dict[str, Any]) -> Response:
        lifecycle = self._state.lifecycle
        if lifecycle.up:
            return json_response({**facts, "ready": True})
        return json_response({**facts, "ready": False, "error": lifecycle.state}, 503, {"Retry-After": "1"})

    def _metadata(self) -> dict[str, Any]:
        signature = self._signature
        return {
            "name": signature.model,
            "versions": [VERSION],
            "platform": "onnx_onnxv1",
            "inputs": [
                {"name": signature.image, "datatype": "BYTES", "shape": [-1]},
                {"name": signature.tensor, "datatype": "FP32", "shape": [-1, *signature.shape]},
            ],
            "outputs": [
                {"name": signature.top, "datatype": "BYTES", "shape": [-1, -1]},
                {"name": signature.scores, "datatype": "FP32", "shape": [-1, signature.classes]},
            ],
        }
