"""What the OpenAPI document says about version 1 of KServe's and TensorFlow Serving's protocols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_runtime.protocols.schemas import parts

if TYPE_CHECKING:
    from imageclassifier_runtime.protocols.model_signature import Signature

_STATUS = parts.object_of(
    {
        "name": parts.STRING,
        "ready": {"type": "boolean"},
        "model_version_status": {
            "type": "array",
            "items": parts.object_of(
                {
                    "version": parts.STRING,
                    "state": {"type": "string", "enum": ["LOADING", "AVAILABLE", "UNLOADING"]},
                    "status": parts.object_of({"error_code": parts.STRING, "error_message": parts.STRING}),
                }
            ),
        },
    }
)


def _model(path: str, summary: str, responses: dict[int, dict[str, Any]]) -> dict[str, Any]:
    return {
        "summary": summary,
        "responses": {**responses, 404: parts.error_of("No such model or version")},
        "openapi_extra": {"parameters": parts.path_parameters(path)},
    }


def live() -> dict[str, Any]:
    """Return what is said about liveness."""
    schema = parts.object_of({"status": parts.STRING})
    alive = parts.json_of(schema, "Alive")
    alive["content"]["text/html"] = {"schema": parts.STRING}
    return {
        "summary": "v1: whether the event loop runs; for a browser, a page to drop a photograph on",
        "responses": {200: alive},
    }


def models() -> dict[str, Any]:
    """Return what is said about the list of models."""
    schema = parts.object_of({"models": {"type": "array", "items": parts.STRING}})
    return {"summary": "v1: the models of this server", "responses": {200: parts.json_of(schema, "Their names")}}


def status(path: str) -> dict[str, Any]:
    """Return what is said about a model's status."""
    answers = {
        200: parts.json_of(_STATUS, "Ready"),
        503: parts.json_of(_STATUS, "Not to be sent requests now"),
    }
    return _model(path, "v1: the model's status, for KServe's and TensorFlow Serving's clients", answers)


def metadata(path: str) -> dict[str, Any]:
    """Return what is said about a model's metadata."""
    schema = parts.object_of({"model_spec": {"type": "object"}, "metadata": {"type": "object"}})
    return _model(
        path, "v1: the model's signatures, as TensorFlow Serving gives them", {200: parts.json_of(schema, "Them")}
    )


def predict(path: str, signature: Signature) -> dict[str, Any]:
    """Return what is said about prediction."""
    values = {"description": 'Images as {"b64": "…"}, or tensors as nested lists of numbers'}
    schema = parts.object_of(
        {},
        instances={"type": "array", "items": values},
        inputs=values,
        signature_name={"type": "string", "enum": ["serving_default", "tensor"]},
    )
    answer = parts.object_of({}, predictions={"type": "array", "items": {}}, outputs={})
    return {
        "summary": "v1: predict",
        "description": (
            "`instances` for the row form, answered with `predictions`; `inputs` for the column form, answered "
            f"with `outputs`. Images may be under the name `{signature.image}`, tensors {list(signature.shape)} "
            f"under `{signature.tensor}`. Images are answered with classes, probabilities and class_ids, tensors "
            "with the model's scores."
        ),
        "responses": {
            200: parts.classes_of(answer, "The predictions"),
            422: parts.error_of("A parameter is not valid"),
            **parts.inference_errors(),
        },
        "openapi_extra": {
            "parameters": [
                *parts.path_parameters(path),
                {"name": "top_k", "in": "query", "required": False, "schema": parts.TOP_K},
                parts.REQUEST_ID,
            ],
            "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        },
    }
