"""Pieces of the OpenAPI document that several protocols share.

A pydantic model describes each response, for this document and for the tests, which parse responses with it. The
server itself neither validates nor serializes with models.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from imageclassifier_runtime.request import problems, responses
from imageclassifier_runtime.request.parameters import DEFAULT_TOP_K, MAX_TOP_K

STRING, INTEGER, BOOLEAN = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
BINARY = {"type": "string", "format": "binary"}
TOP_K = {
    "type": "integer",
    "minimum": 1,
    "maximum": MAX_TOP_K,
    "default": DEFAULT_TOP_K,
    "description": "Number of classes to return",
}
TOP_K_QUERY = {"name": "top_k", "in": "query", "required": False, "schema": TOP_K}
REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 128},
    "description": "Returned in the response and written to the log; generated if absent or invalid",
}
BODY_TIMEOUT = "The request body did not arrive in time"
NO_CAPACITY = "No capacity (queue, memory or time), or the server is shutting down"
RETRY = {"headers": {"Retry-After": {"schema": INTEGER, "description": "Seconds to wait before retrying"}}}
_CACHE = {
    "schema": {"type": "string", "enum": ["hit", "miss", "partial"]},
    "description": "Whether all, none or some of the images were in the cache; absent if no image was looked up",
}

REFERENCE = "#/components/schemas/{model}"
OPTIONAL: Any = Field(default_factory=lambda: None)
"""The value of a field that a response may lack."""


class Schema(BaseModel):
    """Base of all models. Without `defer_build` pydantic would build a validator of each when it is imported."""

    model_config = ConfigDict(defer_build=True)


class Problem(Schema):
    """An error as RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    reason: str = OPTIONAL


class Error(Schema):
    """An error of protocols v1 and v2."""

    error: str


class Alive(Schema):
    status: Literal["alive"]


class ModelNames(Schema):
    models: list[str]


def ref(model: type[Schema]) -> dict[str, Any]:
    """Return the schema that refers to a model; `document` adds the models themselves.

    FastAPI could do this too (`responses={200: {"model": …}}`), but it builds a validator of each response.
    """
    return {"$ref": REFERENCE.format(model=model.__name__)}


def answer(schema: dict[str, Any], description: str, media: str = responses.MEDIA_TYPE) -> dict[str, Any]:
    """Return a response."""
    return {"description": description, "content": {media: {"schema": schema}}}


def classes(schema: dict[str, Any], description: str) -> dict[str, Any]:
    """Return a response to images, which may have been in the cache."""
    return {**answer(schema, description), "headers": {"X-Cache": _CACHE}}


def problem(description: str, **extra: Any) -> dict[str, Any]:
    """Return an error as problem details."""
    return {**answer(ref(Problem), description, problems.MEDIA_TYPE), **extra}


def error(description: str, **extra: Any) -> dict[str, Any]:
    """Return an error of protocols v1 and v2."""
    return {**answer(ref(Error), description), **extra}


OF_TYPE = {problems.MEDIA_TYPE: problem, responses.MEDIA_TYPE: error}
"""Describes an error with this media type."""
NO_MODEL = {404: error("The model or version was not found")}
INFERENCE_ERRORS = {
    **NO_MODEL,
    400: error("The request is malformed, or an image in it cannot be decoded"),
    408: error(BODY_TIMEOUT),
    413: error("More bytes, pixels, numbers or images than this server accepts"),
    415: error("The image format is not supported, or the body is compressed"),
    503: error(NO_CAPACITY, **RETRY),
}
"""The errors of an inference request in v1 and v2."""


def not_ready(model: type[Schema]) -> dict[int, dict[str, Any]]:
    """Return the response about readiness of a server that is not ready."""
    return {503: {**answer(ref(model), "The server is starting or draining"), **RETRY}}


def get(
    summary: str, model: type[Schema], description: str, others: dict[int, Any] | None = None
) -> dict[str, Any]:
    """Return the documentation of a GET; `others` are responses other than 200."""
    return {"summary": summary, "responses": {200: answer(ref(model), description), **(others or {})}}


def object_of(required: dict[str, Any], **extra: Any) -> dict[str, Any]:
    """Return the schema of an object in a request."""
    return {"type": "object", "required": list(required), "properties": {**required, **extra}}


def request(schemas: dict[str, Any], *parameters: dict[str, Any], required: bool = True) -> dict[str, Any]:
    """Return the `openapi_extra` of a request: the schema of its body by media type, and its parameters."""
    content = {media: {"schema": schema} for media, schema in schemas.items()}
    return {"parameters": [*parameters], "requestBody": {"required": required, "content": content}}
