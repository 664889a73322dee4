"""What the OpenAPI document says about each route, written beside the code that does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_runtime.web.problems import MEDIA_TYPE

if TYPE_CHECKING:
    from imageclassifier_runtime.settings import ServeSettings

DESCRIPTION = "Answers classification requests: an image in, the likeliest classes out."
_IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/gif", "application/octet-stream")
_TOP_K = {
    "type": "integer",
    "minimum": 1,
    "maximum": 10,
    "default": 5,
    "description": "How many classes to return",
}
_REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 128},
    "description": "Returned with the answer and written to the log; made up where absent",
}


def _object(required: dict[str, Any], **extra: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **extra}}


_STRING, _INTEGER, _NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
_PROBLEM = _object({"type": _STRING, "title": _STRING, "status": _INTEGER, "detail": _STRING}, reason=_STRING)
_PREDICTION = _object(
    {"class_id": _INTEGER, "class_name": _STRING, "probability": {"type": "number", "minimum": 0, "maximum": 1}}
)
_ANSWER = _object(
    {
        "predictions": {"type": "array", "items": _PREDICTION, "description": "Likeliest first"},
        "model": _object({"name": _STRING, "sha256": _STRING}),
        "timings_ms": {"type": "object", "additionalProperties": _NUMBER},
    }
)
_HEALTH = _object(
    {
        "status": {"type": "string", "enum": ["ok", "starting", "draining"]},
        "model": _STRING,
        "waiting": _INTEGER,
        "running": _INTEGER,
    }
)
_INFO = _object(
    {
        "name": _STRING,
        "sha256": _STRING,
        "precision": _STRING,
        "classes": _INTEGER,
        "input_size": _INTEGER,
        "labels": {"type": "array", "items": _STRING},
        "preprocessing": {"type": "object"},
        "limits": {"type": "object", "additionalProperties": _INTEGER},
    }
)


def _json(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _problem(description: str, *, retry: bool = False) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": description, "content": {MEDIA_TYPE: {"schema": _PROBLEM}}}
    if retry:
        answer["headers"] = {"Retry-After": {"schema": _INTEGER, "description": "Seconds to wait"}}
    return answer


def classify(settings: ServeSettings) -> dict[str, Any]:
    """Return the arguments of `add_api_route` for the classify endpoint."""
    binary = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {**binary, "description": "The image"}, "top_k": _TOP_K},
    }
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    content.update({media: {"schema": binary} for media in _IMAGE_TYPES})
    most = f"{settings.max_image_bytes} bytes or {settings.max_image_pixels} pixels"
    return {
        "operation_id": "classify",
        "summary": "Classify one image",
        "description": (
            "The image is a JPEG, PNG, WebP, BMP or GIF (first frame), told by its bytes whatever its type says: "
            "as the request's body, or as `file` of a form. EXIF orientation is applied, "
            "transparency laid on white."
        ),
        "responses": {
            200: _json(_ANSWER, "The likeliest classes"),
            400: _problem("The image cannot be decoded, or the form is malformed"),
            408: _problem("The body did not arrive in time"),
            413: _problem(f"More than {most}"),
            415: _problem("Not an image type that this server takes"),
            422: _problem("A parameter is not valid"),
            503: _problem("No room in the queue or in memory, or shutting down", retry=True),
        },
        "openapi_extra": {
            "parameters": [{"name": "top_k", "in": "query", "required": False, "schema": _TOP_K}, _REQUEST_ID],
            "requestBody": {"required": True, "content": content},
        },
    }


def health(summary: str) -> dict[str, Any]:
    """Return the arguments of `add_api_route` for health and readiness."""
    return {
        "summary": summary,
        "responses": {
            200: _json(_HEALTH, "Loaded, warmed up and not draining"),
            503: _json(_HEALTH, "Not to be sent requests now"),
        },
    }


def live() -> dict[str, Any]:
    """Return the arguments of `add_api_route` for liveness."""
    return {
        "summary": "Whether the event loop runs",
        "responses": {200: _json(_object({"status": _STRING}), "Alive")},
    }


def model_info() -> dict[str, Any]:
    """Return the arguments of `add_api_route` for the model's facts."""
    return {
        "summary": "The model that is served, and what this server takes",
        "responses": {200: _json(_INFO, "The model")},
    }
