"""What the OpenAPI document says about the Open Inference Protocol v2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_runtime.protocols.schemas import parts

if TYPE_CHECKING:
    from imageclassifier_runtime.protocols.model_signature import Signature

_STRINGS = {"type": "array", "items": parts.STRING}
_INTEGERS = {"type": "array", "items": parts.INTEGER}
_READY = parts.object_of({"ready": {"type": "boolean"}})
_TENSOR = parts.object_of({"name": parts.STRING, "datatype": parts.STRING, "shape": _INTEGERS})
_OPTIONS = {"type": "object", "description": "binary_data_size, binary_data, binary_data_output, classification"}
_ANSWER_TENSOR = parts.object_of(
    {"name": parts.STRING, "datatype": parts.STRING, "shape": _INTEGERS},
    data={"type": "array", "items": {}},
    parameters=_OPTIONS,
)
_ANSWER = parts.object_of(
    {
        "model_name": parts.STRING,
        "model_version": parts.STRING,
        "outputs": {"type": "array", "items": _ANSWER_TENSOR},
    },
    id=parts.STRING,
)


def _get(summary: str, schema: dict[str, Any], path: str = "", **answers: dict[str, Any]) -> dict[str, Any]:
    responses: dict[int, dict[str, Any]] = {200: parts.json_of(schema, "As it is")}
    if path:
        responses[404] = parts.error_of("No such model or version")
    responses.update({int(code.removeprefix("s")): answer for code, answer in answers.items()})
    return {
        "summary": summary,
        "responses": responses,
        "openapi_extra": {"parameters": parts.path_parameters(path)},
    }


def server() -> dict[str, Any]:
    """Return what is said about the server's metadata."""
    schema = parts.object_of({"name": parts.STRING, "version": parts.STRING, "extensions": _STRINGS})
    return _get("v2: the server and its extensions", schema)


def live() -> dict[str, Any]:
    """Return what is said about liveness."""
    return _get("v2: whether the event loop runs", parts.object_of({"live": {"type": "boolean"}}))


def ready() -> dict[str, Any]:
    """Return what is said about readiness."""
    not_now = parts.json_of(_READY, "Not to be sent requests now")
    return _get("v2: whether requests should be sent here", _READY, s503=not_now)


def models() -> dict[str, Any]:
    """Return what is said about the list of models."""
    return _get("v2: the models of this server", parts.object_of({"models": _STRINGS}))


def model(path: str) -> dict[str, Any]:
    """Return what is said about a model's metadata."""
    tensors = {"type": "array", "items": _TENSOR}
    schema = parts.object_of(
        {
            "name": parts.STRING,
            "versions": _STRINGS,
            "platform": parts.STRING,
            "inputs": tensors,
            "outputs": tensors,
        }
    )
    return _get("v2: the model's tensors", schema, path)


def model_ready(path: str) -> dict[str, Any]:
    """Return what is said about a model's readiness."""
    schema = parts.object_of({"name": parts.STRING, "ready": {"type": "boolean"}})
    return _get(
        "v2: whether the model is ready", schema, path, s503=parts.json_of(schema, "Not to be sent requests now")
    )


def infer(path: str, signature: Signature) -> dict[str, Any]:
    """Return what is said about inference."""
    tensor = parts.object_of(
        {
            "name": {"type": "string", "enum": [signature.image, signature.tensor]},
            "datatype": {"type": "string", "enum": ["BYTES", "FP32"]},
            "shape": _INTEGERS,
        },
        data={"type": "array", "items": {}},
        parameters=_OPTIONS,
    )
    output = parts.object_of(
        {"name": {"type": "string", "enum": [signature.top, signature.scores]}}, parameters=_OPTIONS
    )
    schema = parts.object_of(
        {"inputs": {"type": "array", "items": tensor, "minItems": 1, "maxItems": 1}},
        id=parts.STRING,
        parameters=_OPTIONS,
        outputs={"type": "array", "items": output},
    )
    header = {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "required": False,
        "schema": parts.INTEGER,
        "description": "Bytes of JSON before binary data; 0 where the body is one image, or tensors, alone",
    }
    binary = {"type": "string", "format": "binary"}
    return {
        "summary": "v2: infer",
        "description": (
            f"One input: `{signature.image}` (BYTES, image files; in JSON as base64) or `{signature.tensor}` "
            f"(FP32 {[-1, *signature.shape]}). Images are answered with `{signature.top}` (BYTES, "
            f"value:index:label), tensors with `{signature.scores}` (FP32), unless `outputs` says otherwise. "
            "Binary data and the classification extension work as Triton's."
        ),
        "responses": {200: parts.classes_of(_ANSWER, "The outputs"), **parts.inference_errors()},
        "openapi_extra": {
            "parameters": [*parts.path_parameters(path), header, parts.REQUEST_ID],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": schema},
                    "application/octet-stream": {"schema": binary},
                },
            },
        },
    }


def index() -> dict[str, Any]:
    """Return what is said about the repository index."""
    entry = parts.object_of(
        {"name": parts.STRING, "version": parts.STRING, "state": parts.STRING, "reason": parts.STRING}
    )
    asked = parts.object_of({}, ready={"type": "boolean"})
    return {
        "summary": "v2: the models of this server, as Triton lists its repository",
        "responses": {
            200: parts.json_of({"type": "array", "items": entry}, "The index"),
            400: parts.error_of("The request is malformed"),
            408: parts.error_of("The body did not arrive in time"),
            413: parts.error_of("The body is too large"),
            503: parts.error_of("No room in the queue or in memory, or shutting down", retry=True),
        },
        "openapi_extra": {
            "requestBody": {"required": False, "content": {"application/json": {"schema": asked}}},
        },
    }


def refused(action: str) -> dict[str, Any]:
    """Return what is said about loading and unloading."""
    return {
        "summary": f"v2: {action} a model (refused)",
        "responses": {
            403: parts.error_of("A server has one model for its life"),
            503: parts.error_of("Shutting down", retry=True),
        },
        "openapi_extra": {"parameters": parts.path_parameters("{name}")},
    }
