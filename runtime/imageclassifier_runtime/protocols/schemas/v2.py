"""What the OpenAPI document says about the Open Inference Protocol v2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from imageclassifier_runtime.protocols.schemas import parts
from imageclassifier_runtime.protocols.v2.request import HEADER_LENGTH

if TYPE_CHECKING:
    from imageclassifier_runtime.protocols.model_signature import Signature

_JSON, _BINARY = "application/json", "application/octet-stream"


class ServerMetadata(parts.Schema):
    name: str
    version: str
    extensions: list[str]


class Live(parts.Schema):
    live: bool


class Ready(parts.Schema):
    ready: bool


class NotReady(Ready):
    error: Literal["starting", "draining"]


class ModelReady(Ready):
    name: str


class ModelNotReady(NotReady):
    name: str


class Tensor(parts.Schema):
    name: str
    datatype: Literal["BYTES", "FP32"]
    shape: list[int]


class ModelMetadata(parts.Schema):
    name: str
    versions: list[str]
    platform: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class Output(Tensor):
    """An output with its `data`, or with the size of its binary data in `parameters`."""

    data: list[str] | list[float] = parts.OPTIONAL
    parameters: dict[Literal["binary_data_size"], int] = parts.OPTIONAL


class InferResponse(parts.Schema):
    model_name: str
    model_version: str
    outputs: list[Output]
    id: str = parts.OPTIONAL


class IndexEntry(parts.Schema):
    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: Literal["", "starting", "draining"]


SERVER = parts.get("v2: the server and its extensions", ServerMetadata, "The server's metadata")
LIVE = parts.get("v2: whether the event loop runs", Live, "The process is alive")
READY = parts.get(
    "v2: whether this server accepts requests", Ready, "The server accepts requests", parts.not_ready(NotReady)
)
MODELS = parts.get("v2: the models of this server", parts.ModelNames, "The models' names")
MODEL = parts.get("v2: the model's tensors", ModelMetadata, "The model's metadata", parts.NO_MODEL)
MODEL_READY = parts.get(
    "v2: whether the model is ready",
    ModelReady,
    "The model is ready",
    {**parts.NO_MODEL, **parts.not_ready(ModelNotReady)},
)
INDEX = {
    "summary": "v2: the models of this server, in the format of Triton's repository index",
    "responses": {
        200: parts.answer({"type": "array", "items": parts.ref(IndexEntry)}, "The index"),
        400: parts.error("The request is malformed"),
        408: parts.error(parts.BODY_TIMEOUT),
        413: parts.error("The body is too large"),
        503: parts.error(parts.NO_CAPACITY, **parts.RETRY),
    },
    "openapi_extra": parts.request({_JSON: parts.object_of({}, ready=parts.BOOLEAN)}, required=False),
}


def infer(signature: Signature) -> dict[str, Any]:
    """Return the documentation of inference."""
    options = {
        "type": "object",
        "description": "binary_data_size, binary_data, binary_data_output, classification",
    }
    tensor = parts.object_of(
        {
            "name": {"type": "string", "enum": [signature.image, signature.tensor]},
            "datatype": {"type": "string", "enum": ["BYTES", "FP32"]},
            "shape": {"type": "array", "items": parts.INTEGER},
        },
        data={"type": "array", "items": {}},
        parameters=options,
    )
    output = parts.object_of(
        {"name": {"type": "string", "enum": [signature.top, signature.scores]}}, parameters=options
    )
    request = parts.object_of(
        {"inputs": {"type": "array", "items": tensor, "minItems": 1, "maxItems": 1}},
        id=parts.STRING,
        parameters=options,
        outputs={"type": "array", "items": output},
    )
    header = {
        "name": HEADER_LENGTH,
        "in": "header",
        "required": False,
        "schema": parts.INTEGER,
        "description": "Bytes of JSON before binary data; 0 if the body is one image, or tensors, without JSON",
    }
    outputs = parts.classes(parts.ref(InferResponse), "The outputs")
    outputs["content"][_BINARY] = {"schema": parts.BINARY}
    outputs["headers"][HEADER_LENGTH] = {
        "schema": parts.INTEGER,
        "description": "Bytes of JSON before binary data",
    }
    return {
        "summary": "v2: infer",
        "description": (
            f"One input: `{signature.image}` (BYTES, image files; in JSON as base64) or `{signature.tensor}` "
            f"(FP32 {[-1, *signature.shape]}). By default images get the output `{signature.top}` (BYTES, "
            f"value:index:label) and tensors `{signature.scores}` (FP32); `outputs` requests others. Binary data "
            "and classification are Triton's extensions."
        ),
        "responses": {200: outputs, **parts.INFERENCE_ERRORS},
        "openapi_extra": parts.request({_JSON: request, _BINARY: parts.BINARY}, header, parts.REQUEST_ID),
    }


def refused(action: str) -> dict[str, Any]:
    """Return the documentation of loading and unloading."""
    return {
        "summary": f"v2: {action} a model (not supported)",
        "status_code": 403,
        "responses": {
            403: parts.error("A server has one model for its lifetime"),
            503: parts.error("The server is shutting down", **parts.RETRY),
        },
    }
