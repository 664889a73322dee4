"""The OpenAPI document: FastAPI's, completed with the models, path parameters, API keys and rate limits."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from imageclassifier_runtime.protocols.schemas import parts
from imageclassifier_runtime.request.paths import is_open, is_probe, protocol_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATH_PARAMETERS = {"name": "The model's name", "version": "The model's version: 1"}
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer KEY`"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "`X-API-Key: KEY`"},
}
_CHALLENGE = {"headers": {"WWW-Authenticate": {"schema": parts.STRING, "description": "Bearer"}}}


def complete(document: dict[str, Any], *, keys: bool, rates: bool) -> dict[str, Any]:
    """Return the document with models and path parameters, and with API keys and rate limits if configured."""
    document = copy.deepcopy(document)
    _, definitions = models_json_schema(
        [(model, "serialization") for model in _models(parts.Schema)], ref_template=parts.REFERENCE
    )
    document["components"] = {"schemas": definitions["$defs"]}
    if keys:
        document["components"]["securitySchemes"] = _SCHEMES
        document["security"] = [{name: []} for name in _SCHEMES]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            operation["parameters"] = _path_parameters(path) + operation.get("parameters", [])
            _authentication(method.upper(), path, operation, keys=keys, rates=rates)
    return document


def _models(base: type[parts.Schema]) -> Iterator[type[parts.Schema]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": parts.STRING, "description": description}
        for name, description in _PATH_PARAMETERS.items()
        if f"{{{name}}}" in path
    ]


def _authentication(method: str, path: str, operation: dict[str, Any], *, keys: bool, rates: bool) -> None:
    probe, error = is_probe(method, path), parts.OF_TYPE[protocol_of(path).errors.media_type]
    if keys and (probe or is_open(method, path)):
        operation["security"] = []
    elif keys:
        operation["responses"]["401"] = error("The API key is missing or unknown", **_CHALLENGE)
    if rates and not probe:
        operation["responses"]["429"] = error("The rate limit is exceeded", **parts.RETRY)
