"""KServe's protocol v1 and TensorFlow Serving's REST API: the same paths, with responses that satisfy both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request  # noqa: TC002 - FastAPI reads the endpoints' annotations

from imageclassifier_runtime.errors import BodyInvalidError
from imageclassifier_runtime.protocols import bounded_json, tensors
from imageclassifier_runtime.protocols.model_signature import (
    VERSION,
    check_encoding,
    check_model,
    for_model,
    signature_of,
)
from imageclassifier_runtime.protocols.request_context import Image, Item, RequestContext, handle
from imageclassifier_runtime.protocols.schemas import v1 as v1_schemas
from imageclassifier_runtime.request.parameters import parse_top_k, query_value
from imageclassifier_runtime.request.paths import V1
from imageclassifier_runtime.request.responses import json_response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response

    from imageclassifier_runtime.inference.pipeline import Outcome
    from imageclassifier_runtime.protocols.model_signature import Signature
    from imageclassifier_runtime.protocols.routes import AddRoute
    from imageclassifier_runtime.protocols.state import ServerState

_SIGNATURES = ("serving_default", "tensor")
_STATES = {"ok": "AVAILABLE", "starting": "LOADING", "draining": "UNLOADING"}


class PredictProtocol:
    """The endpoints; one instance per server."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._signature = signature_of(state.classifier)

    def add_routes(self, add: AddRoute) -> None:
        """Register every path but `/`, KServe's liveness, which also serves the page: see `front`."""
        add("/v1/models", self.models, **v1_schemas.MODELS)
        for path in ("/v1/models/{name}", "/v1/models/{name}/versions/{version}"):
            add(f"{path}:predict", self.predict, "POST", **v1_schemas.predict(self._signature))
            add(f"{path}/metadata", self.metadata, **v1_schemas.METADATA)
            add(path, self.status, **v1_schemas.STATUS)

    async def models(self, _: Request) -> Response:
        """List the model."""
        return json_response({"models": [self._signature.model]})

    async def status(self, request: Request) -> Response:
        """Report whether the model is ready, in both KServe's and TensorFlow Serving's format."""
        return for_model(request, self._signature, self._status)

    def _status(self) -> Response:
        lifecycle = self._state.lifecycle
        version = {
            "version": VERSION,
            "state": _STATES[lifecycle.state],
            "status": {"error_code": "OK", "error_message": ""},
        }
        content = {"name": self._signature.model, "ready": lifecycle.up, "model_version_status": [version]}
        return json_response(content) if lifecycle.up else json_response(content, 503, {"Retry-After": "1"})

    async def metadata(self, request: Request) -> Response:
        """Describe the model's tensors, as TensorFlow Serving does."""
        return for_model(request, self._signature, lambda: json_response(_metadata(self._signature)))

    async def predict(self, request: Request) -> Response:
        """Predict: images in, classes out; tensors in, scores out."""
        return await handle(self._state, request, self._predict, V1)

    async def _predict(self, context: RequestContext) -> Response:
        check_model(context.request, self._signature)
        check_encoding(context.request)
        top_k = parse_top_k(query_value(context.request.scope, "top_k"))
        body = await context.read_batch()

        def read() -> tuple[bool, Sequence[Item]]:
            document = bounded_json.parse(body)
            body.clear()  # its memory is needed for what is extracted from the document
            return _read(document, self._signature)

        by_row, items = await bounded_json.convert(context, body, numbers=self._signature.values, read=read)
        outcomes = await context.process_all(items, top_k)
        of_images = isinstance(items[0], Image)
        rows = [_classes(outcome) if of_images else outcome.scores.tolist() for outcome in outcomes]
        if by_row:
            return json_response({"predictions": rows})
        columns = {name: [row[name] for row in rows] for name in rows[0]} if of_images else rows
        return json_response({"outputs": columns})


def _classes(outcome: Outcome) -> dict[str, list[Any]]:
    return {
        "classes": [prediction.class_name for prediction in outcome.predictions],
        "probabilities": [prediction.probability for prediction in outcome.predictions],
        "class_ids": [prediction.class_id for prediction in outcome.predictions],
    }


def _read(document: Any, signature: Signature) -> tuple[bool, Sequence[Item]]:
    """Return whether the request is in row format, and its items; raises RequestError."""
    if not isinstance(document, dict) or ("instances" in document) == ("inputs" in document):
        raise BodyInvalidError("The request must be an object with either `instances` or `inputs`.")
    name = document.get("signature_name") or _SIGNATURES[0]
    if name not in _SIGNATURES:
        raise BodyInvalidError(f"Unknown signature {str(name)[:40]!r}: must be one of {', '.join(_SIGNATURES)}.")
    by_row = "instances" in document
    values = document["instances" if by_row else "inputs"]
    if by_row:
        if not isinstance(values, list):
            raise BodyInvalidError("`instances` must be a list.")
        values = [_without_input_name(value, signature) for value in values]
    else:
        values = _without_input_name(values, signature)
        if not isinstance(values, list):
            raise BodyInvalidError("`inputs` must be a list, or an object with one list under an input's name.")
    if not values:
        raise BodyInvalidError("The request has no image or tensor.")
    tensors.check_count(len(values))
    if all(isinstance(value, list) for value in values):
        return by_row, tensors.tensors(tensors.numbers(values), signature)
    if all(isinstance(value, dict) and set(value) == {"b64"} for value in values):
        return by_row, tensors.images(value["b64"] for value in values)
    raise BodyInvalidError(
        'Send images as {"b64": "…"} or tensors as nested lists of numbers, all of one kind, '
        f"without a name or under the name of their input, `{signature.image}` or `{signature.tensor}`."
    )


def _without_input_name(value: Any, signature: Signature) -> Any:
    """Return a value without its input's name, if it has one."""
    if isinstance(value, dict) and len(value) == 1:
        name, inner = next(iter(value.items()))
        if name in (signature.image, signature.tensor, "image_bytes"):
            return inner
    return value


def _metadata(signature: Signature) -> dict[str, Any]:
    image = _tensor(signature.image, "DT_STRING", -1)
    numbers = _tensor(signature.tensor, "DT_FLOAT", -1, *signature.shape)
    classes = {
        "classes": _tensor("classes", "DT_STRING", -1, -1),
        "probabilities": _tensor("probabilities", "DT_FLOAT", -1, -1),
        "class_ids": _tensor("class_ids", "DT_INT64", -1, -1),
    }
    scores = {signature.scores: _tensor(signature.scores, "DT_FLOAT", -1, signature.classes)}
    method = "tensorflow/serving/predict"
    signatures = {
        _SIGNATURES[0]: {"inputs": {signature.image: image}, "outputs": classes, "method_name": method},
        _SIGNATURES[1]: {"inputs": {signature.tensor: numbers}, "outputs": scores, "method_name": method},
    }
    return {
        "model_spec": {"name": signature.model, "signature_name": "", "version": VERSION},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def _tensor(name: str, dtype: str, *shape: int) -> dict[str, Any]:
    sizes = [{"size": str(size), "name": ""} for size in shape]
    return {"dtype": dtype, "tensor_shape": {"dim": sizes, "unknown_rank": False}, "name": name}
