"""What the OpenAPI document says about version 1 of KServe's and TensorFlow Serving's protocols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from imageclassifier_runtime.protocols.schemas import parts

if TYPE_CHECKING:
    from imageclassifier_runtime.protocols.model_signature import Signature


class StatusCode(parts.Schema):
    error_code: str
    error_message: str


class VersionStatus(parts.Schema):
    version: str
    state: Literal["AVAILABLE", "LOADING", "UNLOADING"]
    status: StatusCode


class ModelStatus(parts.Schema):
    name: str
    ready: bool
    model_version_status: list[VersionStatus]


class TensorShape(parts.Schema):
    dim: list[dict[Literal["size", "name"], str]]
    unknown_rank: bool


class TensorInfo(parts.Schema):
    dtype: Literal["DT_STRING", "DT_FLOAT", "DT_INT64"]
    tensor_shape: TensorShape
    name: str


class SignatureDef(parts.Schema):
    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]
    method_name: str


class SignatureMap(parts.Schema):
    signature_def: dict[str, SignatureDef]


class SignatureMetadata(parts.Schema):
    model_spec: dict[Literal["name", "signature_name", "version"], str]
    metadata: dict[Literal["signature_def"], SignatureMap]


class ImageRow(parts.Schema):
    classes: list[str]
    probabilities: list[float]
    class_ids: list[int]


class ImageColumns(parts.Schema):
    classes: list[list[str]]
    probabilities: list[list[float]]
    class_ids: list[list[int]]


class Predictions(parts.Schema):
    """The response to `instances`: classes for images, the model's scores for tensors."""

    predictions: list[ImageRow] | list[list[float]]


class Outputs(parts.Schema):
    """The response to `inputs`: classes for images, the model's scores for tensors."""

    outputs: ImageColumns | list[list[float]]


LIVE = parts.get(
    "v1: whether the event loop runs; browsers get a page for classifying photographs",
    parts.Alive,
    "The process is alive",
)
LIVE["responses"][200]["content"]["text/html"] = {"schema": parts.STRING}
MODELS = parts.get("v1: the models of this server", parts.ModelNames, "The models' names")
STATUS = parts.get(
    "v1: the model's status, for clients of KServe and TensorFlow Serving",
    ModelStatus,
    "The model is ready",
    {**parts.NO_MODEL, **parts.not_ready(ModelStatus)},
)
METADATA = parts.get(
    "v1: the model's signatures, in TensorFlow Serving's format",
    SignatureMetadata,
    "The signatures",
    parts.NO_MODEL,
)


def predict(signature: Signature) -> dict[str, Any]:
    """Return the documentation of prediction."""
    values = {"description": 'Images as {"b64": "…"}, or tensors as nested lists of numbers'}
    request = parts.object_of(
        {},
        instances={"type": "array", "items": values},
        inputs=values,
        signature_name={"type": "string", "enum": ["serving_default", "tensor"]},
    )
    return {
        "summary": "v1: predict",
        "description": (
            "Send `instances` (row format) to get `predictions`, or `inputs` (column format) to get `outputs`. "
            f"Images may be under the name `{signature.image}`, tensors {list(signature.shape)} under "
            f"`{signature.tensor}`. The response to images has classes, probabilities and class_ids, the response "
            "to tensors the model's scores."
        ),
        "responses": {
            200: parts.classes({"anyOf": [parts.ref(Predictions), parts.ref(Outputs)]}, "The predictions"),
            422: parts.error("A parameter is invalid"),
            **parts.INFERENCE_ERRORS,
        },
        "openapi_extra": parts.request({"application/json": request}, parts.TOP_K_QUERY, parts.REQUEST_ID),
    }
