"""The memory of JSON is estimated before it is parsed, and the estimate is an upper bound."""

from __future__ import annotations

import json
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.errors import BodyInvalidError, RequestError, TooLargeError
from imageclassifier_runtime.protocols import bounded_json, tensors

from tests.unit.runtime.support import SIZE, Running

if TYPE_CHECKING:
    from collections.abc import Callable

PREDICT = "/v1/models/colours:predict"


def many(element: str, count: int) -> bytes:
    return f"[{','.join([element] * count)}]".encode()


@pytest.mark.parametrize(
    "text",
    [
        many("0.5", 100_000),
        many("1e5", 100_000),
        many("300", 100_000),
        many("12345678901234567890", 20_000),
        many("[]", 60_000),
        many("{}", 60_000),
        many("[0]", 60_000),
        many("[[0.5]]", 30_000),
        many('{"":0}', 2000),
        many('"ab"', 2000),
        many('{"\\u20ac":"\\ud83d\\ude00"}', 1000),
        many(f'"{"é" * 200}😀"', 500),
        many(f'"{"x" * 100_000}"', 20),
        many('"' + "x" * 300_000 + '\\ud83d\\ude00"', 3),
        many('"' + "\\u20ac" * 100_000 + '\\ud83d\\ude00"', 3),
        many('"' + "\\n" * 300_000 + '"', 3),
    ],
    ids=lambda text: text[:12].decode(errors="replace"),
)
def test_parsing_takes_no_more_memory_than_estimated(text: bytes) -> None:
    counted = bounded_json.cost(text, numbers=0)
    tracemalloc.start()
    try:
        bounded_json.parse(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= counted + 16_384
    assert counted < 250 * len(text)


def test_numbers_and_their_array_take_no_more_memory_than_estimated() -> None:
    text = many("0.5", 3 * 100 * 100)
    tracemalloc.start()
    try:
        tensors.numbers(bounded_json.parse(text))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The array itself is accounted for with the body.
    assert peak <= bounded_json.cost(text, numbers=0) + 2 * len(text)


@pytest.mark.parametrize(
    "text",
    [
        many("1", bounded_json.MAX_NUMBERS + 10_000),
        many("[]", 70_000),
        many("{}", 70_000),
        many('""', 3000),
        b"[" * 70_000,
    ],
    ids=["numbers", "lists", "objects", "strings", "depth"],
)
def test_json_over_the_limits_is_rejected_before_parsing(text: bytes) -> None:
    with pytest.raises(TooLargeError):
        bounded_json.cost(text, numbers=0)


def test_one_tensor_of_any_model_always_fits() -> None:
    numbers = 2 * bounded_json.MAX_NUMBERS
    assert bounded_json.cost(many("1", numbers), numbers=numbers) > 0


@pytest.mark.parametrize("text", [b"[" * 17 + b"]" * 17, b'{"a":' * 17, b'["' + b'\\"[' * 20 + b'",' + b"[" * 17])
def test_deep_nesting_is_rejected(text: bytes) -> None:
    with pytest.raises(BodyInvalidError, match="nested more than 16 deep"):
        bounded_json.parse(text)


@pytest.mark.parametrize(
    "document", [[[[[1]]]], {"a": "[[[[[[[[[[[[[[[[[[["}, ['"\\"[' * 20], {"b": ["]]]]", '"', "\\"]}]
)
def test_brackets_in_strings_do_not_count_as_nesting(document: object) -> None:
    assert bounded_json.parse(json.dumps(document).encode()) == document


@pytest.mark.parametrize("text", [b'"', b'"\\', b'["a', b"\xff\xfe", b"\xef\xbb\xbf{}", b"[1,]", b"nul", b"\0"])
def test_invalid_json_is_a_request_error(text: bytes) -> None:
    with pytest.raises(RequestError):
        bounded_json.parse(text)


async def test_json_that_may_not_fit_in_memory_gets_413_unparsed(
    make_server: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server()
    monkeypatch.setattr(server.state.admission.pixels, "capacity", 1 << 20)
    response = await server.client.post(PREDICT, content=many("1", 100_000))
    assert response.status_code == 413
    assert "binary form" in response.json()["error"]


async def test_a_large_document_is_parsed_in_a_worker_and_frees_its_memory(server: Running) -> None:
    instance = [[[0.0] * SIZE] * SIZE] * 3
    content = json.dumps({"instances": [instance] * 8}).encode()
    assert len(content) > 64 * 1024
    response = await server.client.post(PREDICT, content=content)
    assert len(response.json()["predictions"]) == 8
    admission = server.state.admission
    for pool in (admission.bodies, admission.pixels, admission.workers):
        assert pool.free == pool.capacity


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, many("[]", 70_000), many('""', 3000), b'{"instances": ' + many("[1]", 60_000) + b"}"],
    ids=["depth", "lists", "strings", "instances"],
)
async def test_hostile_json_is_rejected_by_the_server(server: Running, content: bytes) -> None:
    for path in (PREDICT, "/v2/models/colours/infer"):
        response = await server.client.post(path, content=content)
        assert response.status_code in {400, 413}
        assert response.json()["error"]
    assert (await server.client.get("/v2/health/ready")).status_code == 200


async def test_a_body_over_the_limit_gets_413(make_server: Callable[..., Running]) -> None:
    server = make_server(max_image_bytes=10_000)
    for path in (PREDICT, "/v2/models/colours/infer"):
        response = await server.client.post(path, content=b" " * 40_001)
        assert (response.status_code, "40000 bytes" in response.json()["error"]) == (413, True)
