"""The OpenAPI document and the responses agree: each response is parsed with the model that the document names.

Parsing is strict: no type is converted, no field is missing, and none is unknown.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import operator
import re
import types
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from imageclassifier_runtime.protocols.schemas import document as documents
from imageclassifier_runtime.protocols.schemas import native, parts, v1, v2
from imageclassifier_runtime.settings.cache import CacheSettings
from pydantic import TypeAdapter, ValidationError

from tests.unit.runtime.support import SIZE, Running, image_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    import httpx

CLASSIFY, BATCH = "/api/v1/classify", "/api/v1/classify/batch"
PREDICT, INFER, INDEX = "/v1/models/{name}:predict", "/v2/models/{name}/infer", "/v2/repository/index"
FORM = {"Content-Type": "multipart/form-data; boundary=frontier"}
LENGTH = "Inference-Header-Content-Length"
_MODELS = {
    name: value
    for module in (parts, native, v1, v2)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, parts.Schema)
}
_ALWAYS_SENT = {"Retry-After", "WWW-Authenticate"}
_PNG = {"Content-Type": "image/png"}
_B64 = base64.b64encode(image_bytes()).decode()
_VALUES = np.zeros((3, SIZE, SIZE), np.float32).tolist()
_IMAGE = {"name": "image_bytes", "datatype": "BYTES", "shape": [1], "data": [_B64]}
_TENSOR = {"name": "image", "datatype": "FP32", "shape": [1, 3, SIZE, SIZE], "data": [_VALUES]}


def type_of(schema: dict[str, Any]) -> Any:
    """Return the model that a response's schema refers to, or the list or union of models."""
    match schema:
        case {"$ref": reference}:
            return _MODELS[reference.removeprefix("#/components/schemas/")]
        case {"anyOf": [*alternatives]}:
            return functools.reduce(operator.or_, map(type_of, alternatives))
        case {"type": "array", "items": items}:
            return types.GenericAlias(list, (type_of(items),))
    raise AssertionError(f"{schema} refers to no model")


def parse(schema: dict[str, Any], content: bytes) -> None:
    TypeAdapter(type_of(schema)).validate_json(content, strict=True, extra="forbid")


async def document_of(server: Running) -> dict[str, Any]:
    document: dict[str, Any] = (await server.client.get("/openapi.json")).json()
    return document


def operations(document: dict[str, Any], status: int, method: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield the method and path of each operation that declares this status."""
    for path, methods in document["paths"].items():
        for verb, operation in methods.items():
            if str(status) in operation["responses"] and method in (None, verb.upper()):
                yield verb.upper(), path


def check(document: dict[str, Any], path: str, response: httpx.Response) -> None:
    """Check that a response is what the document says about this path."""
    operation = document["paths"][path][response.request.method.lower()]
    declared = operation["responses"][str(response.status_code)]
    media = response.headers["content-type"].partition(";")[0]
    schema = declared["content"][media]["schema"]
    if "json" in media:
        parse(schema, response.content)
    headers = set(declared.get("headers", {}))
    assert all(name in response.headers for name in headers & _ALWAYS_SENT)
    assert headers >= {name for name in ("X-Cache", "Retry-After", LENGTH) if name in response.headers}


def url(path: str, model: str = "colours") -> str:
    return path.format(name=model, version=1)


async def stalled() -> AsyncIterator[bytes]:
    yield b"--frontier"
    await asyncio.sleep(60)


# For each error: the server's settings, and the request that gets the error wherever it is declared.
ERRORS: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {
    400: ({}, {"content": b"{", "headers": FORM}),
    401: ({"api_keys_path": "keys"}, {}),
    403: ({}, {}),
    404: ({}, {"model": "other"}),
    408: ({"body_timeout_seconds": 0.1}, {"content": stalled, "headers": FORM}),
    413: ({"max_image_bytes": 1024}, {"content": bytes(1 << 17), "headers": FORM}),
    415: ({}, {"content": b"x", "headers": {"Content-Type": "text/plain", "Content-Encoding": "gzip"}}),
    422: ({}, {"params": {"top_k": 0}, "headers": FORM}),
    429: ({"rate_limit": 0.001}, {}),
    503: ({}, {"headers": FORM}),
}


@pytest.mark.parametrize("status", ERRORS)
async def test_every_declared_error_is_what_clients_get(
    make_server: Callable[..., Running], tmp_path: Path, status: int
) -> None:
    (tmp_path / "keys").write_text("the-key-of-ann-0123456789\n")
    settings, request = ERRORS[status]
    if "api_keys_path" in settings:
        settings = {"api_keys_path": tmp_path / "keys"}
    server = make_server(**settings)
    document = await document_of(server)
    server.state.lifecycle.draining = server.state.lifecycle.stopping = status == 503
    found = list(operations(document, status))
    for method, path in found:
        options = {**request, "url": url(path, request.get("model", "colours"))}
        options.pop("model", None)
        if callable(options.get("content")):
            options["content"] = options["content"]()
        response = await server.client.request(method, **options)
        assert response.status_code == status, (method, path, response.text)
        check(document, path, response)
    assert found


async def test_every_declared_status_is_provoked(make_server: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("the-key-of-ann-0123456789\n")
    document = await document_of(make_server(api_keys_path=tmp_path / "keys", rate_limit=1.0))
    responses = [
        operation["responses"] for methods in document["paths"].values() for operation in methods.values()
    ]
    assert {int(status) for declared in responses for status in declared} == {200, *ERRORS}
    assert {path for method, path in operations(document, 200, "POST")} == {
        *(CLASSIFY, BATCH, INDEX, PREDICT, INFER),
        *(path.replace("{name}", "{name}/versions/{version}") for path in (PREDICT, INFER)),
    }


async def test_every_get_is_what_clients_get_in_every_phase(server: Running) -> None:
    document = await document_of(server)
    lifecycle = server.state.lifecycle
    for ready, draining in ((True, False), (False, False), (True, True)):
        lifecycle.ready, lifecycle.draining = ready, draining
        for method, path in operations(document, 200, "GET"):
            response = await server.client.request(method, url(path))
            not_ready = "503" in document["paths"][path]["get"]["responses"] and not lifecycle.up
            assert response.status_code == (503 if not_ready else 200), path
            check(document, path, response)
        for content in (b"", b'{"ready": true}'):
            check(document, INDEX, await server.client.post(INDEX, content=content))
    check(document, "/", await server.client.get("/", headers={"Accept": "text/html"}))


async def test_classes_are_what_clients_get(make_server: Callable[..., Running]) -> None:
    server = make_server(cache=CacheSettings(max_bytes=1 << 20))
    document = await document_of(server)
    for _ in range(2):  # the second time from the cache
        for options in ({"files": {"file": image_bytes()}}, {"content": image_bytes(), "headers": _PNG}):
            response = await server.client.post(CLASSIFY, **options)
            assert "x-cache" in response.headers
            check(document, CLASSIFY, response)
        files = [("file", ("x", data)) for data in (image_bytes("blue"), b"text", image_bytes()[:60])]
        response = await server.client.post(BATCH, files=files)
        assert ["problem" in result for result in response.json()["results"]] == [False, True, True]
        check(document, BATCH, response)


@pytest.mark.parametrize("version", ["", "/versions/{version}"])
@pytest.mark.parametrize("form", ["instances", "inputs"])
@pytest.mark.parametrize("items", [[{"b64": _B64}] * 2, [_VALUES]])
async def test_predictions_are_what_clients_get(
    server: Running, version: str, form: str, items: list[Any]
) -> None:
    path = PREDICT.replace("{name}", f"{{name}}{version}")
    response = await server.client.post(url(path), json={form: items})
    assert response.status_code == 200
    check(await document_of(server), path, response)


@pytest.mark.parametrize("version", ["", "/versions/{version}"])
@pytest.mark.parametrize("given", [_IMAGE, _TENSOR])
@pytest.mark.parametrize("outputs", [[], [{"name": "classes"}, {"name": "logits"}]])
async def test_outputs_are_what_clients_get(
    server: Running, version: str, given: dict[str, Any], outputs: list[Any]
) -> None:
    path = INFER.replace("{name}", f"{{name}}{version}")
    document = await document_of(server)
    request = {"id": "a", "inputs": [given], "outputs": outputs}
    response = await server.client.post(url(path), json=request)
    assert response.status_code == 200
    check(document, path, response)
    response = await server.client.post(url(path), json=request | {"parameters": {"binary_data_output": True}})
    check(document, path, response)
    declared = document["paths"][path]["post"]["responses"]["200"]["content"]
    parse(declared["application/json"]["schema"], response.content[: int(response.headers[LENGTH])])


async def test_unknown_and_missing_fields_and_other_types_are_found(server: Running) -> None:
    path = "/api/v1/health"
    document = await document_of(server)
    schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    content = (await server.client.get(path)).json()
    parse(schema, json.dumps(content).encode())
    for wrong in (
        content | {"more": 1},
        {name: value for name, value in content.items() if name != "model"},
        content | {"waiting": "0"},
        content | {"status": "well"},
        content | {"model": None},
    ):
        with pytest.raises(ValidationError):
            parse(schema, json.dumps(wrong).encode())


async def test_the_document_is_built_once_and_not_before_it_is_requested(
    make_server: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []

    def record(*arguments: Any, **options: Any) -> dict[str, Any]:
        built.append(options)
        return documents.complete(*arguments, **options)

    monkeypatch.setattr("imageclassifier_runtime.web.app.complete", record)
    server = make_server()
    for path in ("/api/v1/health", "/v2/models/colours", "/nowhere"):
        await server.client.get(path)
    assert built == []
    for path in ("/openapi.json", "/docs", "/openapi.json"):
        assert (await server.client.get(path)).status_code == 200
    assert built == [{"keys": False, "rates": False}]


async def test_the_document_has_exactly_the_models_that_it_refers_to(server: Running) -> None:
    document = await document_of(server)
    referred = set(re.findall(r'"#/components/schemas/([^"]*)"', json.dumps(document)))
    assert referred == set(document["components"]["schemas"]) == set(_MODELS) - {"Schema"}
