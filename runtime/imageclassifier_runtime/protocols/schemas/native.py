"""What the OpenAPI document says about each route, written beside the code that does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_runtime.inference.image_headers.formats import MEDIA_TYPES, NAMES
from imageclassifier_runtime.protocols.request_context import MAX_ITEMS, batch_bytes
from imageclassifier_runtime.protocols.schemas import parts

if TYPE_CHECKING:
    from imageclassifier_runtime.protocols.state import ServerState
    from imageclassifier_runtime.settings.commands import ServeSettings

DESCRIPTION = "Answers classification requests: an image in, the likeliest classes out."
_IMAGE_TYPES = (*MEDIA_TYPES, "application/octet-stream")
_ANSWER = parts.object_of(
    {
        "predictions": {"type": "array", "items": parts.PREDICTION, "description": "Likeliest first"},
        "model": parts.object_of({"name": parts.STRING, "sha256": parts.STRING}),
        "timings_ms": {"type": "object", "additionalProperties": parts.NUMBER},
    }
)
_RESULT = parts.object_of(
    {},
    predictions={"type": "array", "items": parts.PREDICTION},
    timings_ms={"type": "object", "additionalProperties": parts.NUMBER},
    problem=parts.PROBLEM,
)
_BATCH = parts.object_of(
    {
        "results": {"type": "array", "items": _RESULT, "description": "In the order of the images"},
        "model": parts.object_of({"name": parts.STRING, "sha256": parts.STRING}),
        "timings_ms": {"type": "object", "additionalProperties": parts.NUMBER},
    }
)
_HEALTH = parts.object_of(
    {
        "status": {"type": "string", "enum": ["ok", "starting", "draining"]},
        "model": parts.STRING,
        "waiting": parts.INTEGER,
        "running": parts.INTEGER,
    }
)
_INFO = parts.object_of(
    {
        "name": parts.STRING,
        "sha256": parts.STRING,
        "precision": {"type": "string", "enum": ["FP32", "INT8"]},
        "graph_sha256": parts.STRING,
        "classes": parts.INTEGER,
        "input_size": parts.INTEGER,
        "labels": {"type": "array", "items": parts.STRING},
        "preprocessing": {"type": "object"},
        "limits": {"type": "object", "additionalProperties": parts.INTEGER},
    }
)


def classify(settings: ServeSettings) -> dict[str, Any]:
    """Return the arguments of `add_api_route` for the classify endpoint."""
    binary = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {**binary, "description": "The image"}, "top_k": parts.TOP_K},
    }
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    content.update({media: {"schema": binary} for media in _IMAGE_TYPES})
    most = f"{settings.max_image_bytes} bytes or {settings.max_image_pixels} pixels"
    return {
        "operation_id": "classify",
        "summary": "Classify one image",
        "description": (
            f"The image is a {NAMES} (first frame), told by its bytes whatever its type says: "
            "as the request's body, or as `file` of a form. EXIF orientation is applied, "
            "transparency laid on white."
        ),
        "responses": {
            200: parts.classes_of(_ANSWER, "The likeliest classes"),
            400: parts.problem_of("The image cannot be decoded, or the form is malformed"),
            408: parts.problem_of("The body did not arrive in time"),
            413: parts.problem_of(f"More than {most}"),
            415: parts.problem_of("Not an image type that this server takes"),
            422: parts.problem_of("A parameter is not valid"),
            503: parts.problem_of("No room in the queue or in memory, or shutting down", retry=True),
        },
        "openapi_extra": {
            "parameters": [
                {"name": "top_k", "in": "query", "required": False, "schema": parts.TOP_K},
                parts.REQUEST_ID,
            ],
            "requestBody": {"required": True, "content": content},
        },
    }


def classify_batch(state: ServerState) -> dict[str, Any]:
    """Return the arguments of `add_api_route` for several images at once."""
    files = {
        "type": "array",
        "maxItems": MAX_ITEMS,
        "items": {"type": "string", "format": "binary"},
        "description": f"The images, each in a field `file` of its own, at most {MAX_ITEMS}",
    }
    form = {"type": "object", "required": ["file"], "properties": {"file": files, "top_k": parts.TOP_K}}
    most = batch_bytes(state)
    return {
        "operation_id": "classify_batch",
        "summary": f"Classify up to {MAX_ITEMS} images",
        "description": (
            "Every image has its own result, in the order of the form: `predictions`, or a `problem` that says "
            f"why there are none. The whole body may have {most} bytes on this server, each image as many as by "
            "itself."
        ),
        "responses": {
            200: parts.classes_of(_BATCH, "A result for each image; all of them may be problems"),
            400: parts.problem_of("The form is malformed"),
            408: parts.problem_of("The body did not arrive in time"),
            413: parts.problem_of(f"The body has more than {most} bytes"),
            415: parts.problem_of("Not a form"),
            422: parts.problem_of(f"A parameter is not valid, or there are no images or more than {MAX_ITEMS}"),
            503: parts.problem_of("No room for any of the images, or shutting down", retry=True),
        },
        "openapi_extra": {
            "parameters": [
                {"name": "top_k", "in": "query", "required": False, "schema": parts.TOP_K},
                parts.REQUEST_ID,
            ],
            "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}},
        },
    }


def health(summary: str) -> dict[str, Any]:
    """Return the arguments of `add_api_route` for health and readiness."""
    return {
        "summary": summary,
        "responses": {
            200: parts.json_of(_HEALTH, "Loaded, warmed up and not draining"),
            503: parts.json_of(_HEALTH, "Not to be sent requests now"),
        },
    }


def live() -> dict[str, Any]:
    """Return the arguments of `add_api_route` for liveness."""
    return {
        "summary": "Whether the event loop runs",
        "responses": {200: parts.json_of(parts.object_of({"status": parts.STRING}), "Alive")},
    }


def model_info() -> dict[str, Any]:
    """Return the arguments of `add_api_route` for the model's facts."""
    return {
        "summary": "The model that is served, and what this server takes",
        "responses": {200: parts.json_of(_INFO, "The model")},
    }
