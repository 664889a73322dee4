"""Pieces of the OpenAPI document that several protocols share."""

from __future__ import annotations

from typing import Any

from imageclassifier_runtime.request import problems, responses

TOP_K = {
    "type": "integer",
    "minimum": 1,
    "maximum": 10,
    "default": 5,
    "description": "How many classes to return",
}
REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 128},
    "description": "Returned with the answer and written to the log; made up where absent",
}

_CACHE = {
    "schema": {"type": "string", "enum": ["hit", "miss", "partial"]},
    "description": "Whether all, none or some of the images were in the cache; absent where none was looked for",
}


def object_of(required: dict[str, Any], **extra: Any) -> dict[str, Any]:
    """Return the schema of an object with these fields."""
    return {"type": "object", "required": list(required), "properties": {**required, **extra}}


STRING, INTEGER, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
PROBLEM = object_of({"type": STRING, "title": STRING, "status": INTEGER, "detail": STRING}, reason=STRING)
PREDICTION = object_of(
    {"class_id": INTEGER, "class_name": STRING, "probability": {"type": "number", "minimum": 0, "maximum": 1}}
)


def json_of(schema: dict[str, Any], description: str) -> dict[str, Any]:
    """Return an answer in JSON."""
    return {"description": description, "content": {responses.MEDIA_TYPE: {"schema": schema}}}


def classes_of(schema: dict[str, Any], description: str) -> dict[str, Any]:
    """Return an answer in JSON to images, which a cache may have known."""
    return {**json_of(schema, description), "headers": {"X-Cache": _CACHE}}


def problem_of(description: str, *, retry: bool = False) -> dict[str, Any]:
    """Return an answer as problem details."""
    answer: dict[str, Any] = {"description": description, "content": {problems.MEDIA_TYPE: {"schema": PROBLEM}}}
    if retry:
        answer["headers"] = {"Retry-After": {"schema": INTEGER, "description": "Seconds to wait"}}
    return answer


def error_of(description: str, *, retry: bool = False) -> dict[str, Any]:
    """Return an answer as v1 and v2 have errors."""
    answer = json_of(object_of({"error": STRING}), description)
    if retry:
        answer["headers"] = {"Retry-After": {"schema": INTEGER, "description": "Seconds to wait"}}
    return answer


OF_TYPE = {problems.MEDIA_TYPE: problem_of, responses.MEDIA_TYPE: error_of}
"""How an error is described that is answered with this media type."""


def path_parameters(path: str) -> list[dict[str, Any]]:
    """Return the parameters that a path has in braces."""
    meanings = {"name": "The model's name", "version": "The model's version: 1"}
    return [
        {"name": name, "in": "path", "required": True, "schema": STRING, "description": meaning}
        for name, meaning in meanings.items()
        if f"{{{name}}}" in path
    ]


def inference_errors() -> dict[int, dict[str, Any]]:
    """Return the errors of an inference request in v1 and v2."""
    return {
        400: error_of("The request is malformed, or an image in it cannot be decoded"),
        404: error_of("No such model or version"),
        408: error_of("The body did not arrive in time"),
        413: error_of("More bytes, pixels, numbers or images than this server takes"),
        415: error_of("Not an image type that this server takes, or a compressed body"),
        503: error_of("No room in the queue or in memory, or shutting down", retry=True),
    }
