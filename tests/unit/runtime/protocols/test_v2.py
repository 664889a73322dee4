"""The Open Inference Protocol v2 with Triton's extensions."""

from __future__ import annotations

import base64
import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from imageclassifier_runtime import __version__

from tests.unit.runtime.support import LABELS, SIZE, Running, image_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

# The input of the test model's graph is named `image`, so the input for image files has another name.
MODEL = "/v2/models/colours"
IMAGE, TENSOR, SCORES, CLASSES = "image_bytes", "image", "logits", "classes"
HEADER = "Inference-Header-Content-Length"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def image_input(*images: bytes) -> dict[str, Any]:
    return {
        "name": IMAGE,
        "datatype": "BYTES",
        "shape": [len(images)],
        "data": [b64(image) for image in images],
    }


def blue(count: int = 1) -> np.ndarray[Any, Any]:
    values = np.zeros((count, 3, SIZE, SIZE), np.float32)
    values[:, 2] = np.arange(1, count + 1)[:, None, None]
    return values


def tensor_input(values: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {
        "name": TENSOR,
        "datatype": "FP32",
        "shape": list(values.shape),
        "data": values.ravel().tolist(),
    }


async def infer(server: Running, given: dict[str, Any] | None = None, **request: Any) -> httpx.Response:
    content = {**({"inputs": [given]} if given else {}), **request}
    return await server.client.post(f"{MODEL}/infer", json=content)


async def infer_binary(
    server: Running, given: dict[str, Any], data: bytes, **request: Any
) -> tuple[dict[str, Any], bytes, httpx.Response]:
    """Send binary data after the JSON; return the response's JSON, its binary data, and the response."""
    given = {**given, "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [given], **request}).encode()
    response = await server.client.post(f"{MODEL}/infer", content=head + data, headers={HEADER: str(len(head))})
    length = int(response.headers.get(HEADER, len(response.content)))
    return json.loads(response.content[:length]), response.content[length:], response


@pytest.mark.parametrize("half", ['"id":"\\ud800",', '"id":"\\udc00\\ud800",'])
async def test_an_id_with_a_lone_surrogate_is_returned_unchanged(server: Running, half: str) -> None:
    given = json.dumps({"inputs": [image_input(image_bytes())]})
    response = await server.client.post(f"{MODEL}/infer", content="{" + half + given[1:])
    assert response.status_code == 200
    assert response.json()["id"] == json.loads("{" + half[:-1] + "}")["id"]


@pytest.mark.parametrize("name", [IMAGE, TENSOR])
async def test_a_size_with_a_lone_surrogate_is_rejected(server: Running, name: str) -> None:
    datatype = "BYTES" if name == IMAGE else "FP32"
    given = '{"name":"%s","datatype":"%s","shape":[1],"parameters":{"binary_data_size":"\\ud800"}}'
    content = '{"inputs":[' + given % (name, datatype) + "]}"
    response = await server.client.post(f"{MODEL}/infer", content=content)
    assert response.status_code == 400


@pytest.mark.parametrize("shape", [[2**31 - 1] * 3 + [0], [0] + [2**31 - 1] * 3, [0]])
@pytest.mark.parametrize("binary", [True, False])
async def test_a_tensor_without_elements_is_rejected(server: Running, shape: list[int], *, binary: bool) -> None:
    rest: dict[str, Any] = {"parameters": {"binary_data_size": 0}} if binary else {"data": []}
    response = await infer(server, {"name": TENSOR, "datatype": "FP32", "shape": shape, **rest})
    assert response.status_code == 400


async def test_server_and_model_metadata(server: Running) -> None:
    assert (await server.client.get("/v2")).json() == {
        "name": "imageclassifier",
        "version": __version__,
        "extensions": ["binary_tensor_data", "classification"],
    }
    assert (await server.client.get("/v2/models")).json() == {"models": ["colours"]}
    for path in (MODEL, f"{MODEL}/versions/1"):
        assert (await server.client.get(path)).json() == {
            "name": "colours",
            "versions": ["1"],
            "platform": "onnx_onnxv1",
            "inputs": [
                {"name": IMAGE, "datatype": "BYTES", "shape": [-1]},
                {"name": TENSOR, "datatype": "FP32", "shape": [-1, 3, SIZE, SIZE]},
            ],
            "outputs": [
                {"name": CLASSES, "datatype": "BYTES", "shape": [-1, -1]},
                {"name": SCORES, "datatype": "FP32", "shape": [-1, 4]},
            ],
        }


async def test_health_follows_the_lifecycle(server: Running) -> None:
    paths = ("/v2/health/live", "/v2/health/ready", f"{MODEL}/ready", f"{MODEL}/versions/1/ready")

    async def statuses() -> list[int]:
        return [(await server.client.get(path)).status_code for path in paths]

    assert await statuses() == [200, 200, 200, 200]
    assert (await server.client.get(paths[0])).json() == {"live": True}
    assert (await server.client.get(paths[1])).json() == {"ready": True}
    assert (await server.client.get(paths[2])).json() == {"name": "colours", "ready": True}
    server.state.lifecycle.draining = True
    assert await statuses() == [200, 503, 503, 503]
    assert (await server.client.get(paths[1])).json() == {"ready": False, "error": "draining"}


async def test_health_bypasses_the_queue_and_is_not_counted(make_server: Callable[..., Running]) -> None:
    server = make_server(max_queue_size=1)
    server.state.admission.waiting = 1
    for path in ("/v2/health/live", "/v2/health/ready", f"{MODEL}/ready"):
        assert (await server.client.get(path)).status_code == 200
    response = await infer(server, image_input(image_bytes()))
    assert (response.status_code, response.headers["retry-after"] in {"1", "2", "3"}) == (503, True)
    assert "error" in response.json()
    text = (await server.client.get("/metrics")).text
    assert 'imageclassifier_requests_total{code="503",protocol="v2"} 1.0' in text
    assert 'code="200"' not in text


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready": true}'])
async def test_the_repository_index_has_the_model(server: Running, body: bytes) -> None:
    response = await server.client.post("/v2/repository/index", content=body)
    assert response.json() == [{"name": "colours", "version": "1", "state": "READY", "reason": ""}]
    server.state.lifecycle.draining = True
    response = await server.client.post("/v2/repository/index", content=body)
    assert [entry["state"] for entry in response.json()] == ([] if b"ready" in body else ["UNAVAILABLE"])


@pytest.mark.parametrize("action", ["load", "unload"])
async def test_loading_and_unloading_are_rejected(server: Running, action: str) -> None:
    response = await server.client.post(f"/v2/repository/models/colours/{action}", json={})
    assert response.status_code == 403
    assert "one model for its lifetime" in response.json()["error"]


@pytest.mark.parametrize("path", [f"{MODEL}/infer", f"{MODEL}/versions/1/infer"])
async def test_images_are_answered_with_classes(server: Running, path: str) -> None:
    request = {"id": "a-1", "inputs": [image_input(image_bytes("red"), image_bytes("blue"))]}
    answer = (await server.client.post(path, json=request)).json()
    native = await server.client.post("/api/v1/classify", files={"file": image_bytes("blue")})
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("colours", "1", "a-1")
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == (CLASSES, "BYTES", [2, 4])
    assert output["data"][0].split(":")[1:] == ["0", "red"]
    expected = native.json()["predictions"]
    assert output["data"][4:] == [f"{p['probability']:f}:{p['class_id']}:{p['class_name']}" for p in expected]


async def test_tensors_are_answered_with_the_models_scores(server: Running) -> None:
    for data in (blue(2).tolist(), blue(2).ravel().tolist()):
        answer = (await infer(server, {**tensor_input(blue(2)), "data": data})).json()
        assert "id" not in answer
        (output,) = answer["outputs"]
        assert (output["name"], output["datatype"], output["shape"]) == (SCORES, "FP32", [2, 4])
        assert output["data"] == [0, 0, 4, -4, 0, 0, 8, -8]


async def test_outputs_are_returned_as_requested(server: Running) -> None:
    outputs = [
        {"name": SCORES},
        {"name": CLASSES, "parameters": {"classification": 1}},
    ]
    answer = (await infer(server, tensor_input(blue(2)), outputs=outputs)).json()
    assert [(output["name"], output["shape"]) for output in answer["outputs"]] == [
        (SCORES, [2, 4]),
        (CLASSES, [2, 1]),
    ]
    assert [text.split(":")[1:] for text in answer["outputs"][1]["data"]] == [["2", "blue"]] * 2
    answer = (await infer(server, image_input(image_bytes()), outputs=outputs[:1])).json()
    assert [(output["name"], output["shape"]) for output in answer["outputs"]] == [(SCORES, [1, 4])]


async def test_the_classification_extension_sorts_the_scores(server: Running) -> None:
    outputs = [{"name": SCORES, "parameters": {"classification": 2}}]
    (output,) = (await infer(server, tensor_input(blue()), outputs=outputs)).json()["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [1, 2])
    assert output["data"] == ["4.000000:2:blue", "0.000000:0:red"]
    outputs = [{"name": SCORES, "parameters": {"classification": 1000}}]
    (output,) = (await infer(server, tensor_input(blue()), outputs=outputs)).json()["outputs"]
    assert output["shape"] == [1, len(LABELS)]


async def test_binary_images_after_the_json(server: Running) -> None:
    images = [image_bytes("red"), image_bytes("lime")]
    data = b"".join(struct.pack("<I", len(image)) + image for image in images)
    for shape in ([2], [2, 1]):
        given = {"name": IMAGE, "datatype": "BYTES", "shape": shape}
        answer, rest, response = await infer_binary(server, given, data)
        assert (response.status_code, rest) == (200, b"")
        assert [text.split(":")[2] for text in answer["outputs"][0]["data"][::4]] == ["red", "lime"]


async def test_binary_tensors_both_ways(server: Running) -> None:
    given = {"name": TENSOR, "datatype": "FP32", "shape": [2, 3, SIZE, SIZE]}
    answer, rest, response = await infer_binary(
        server, given, blue(2).tobytes(), id="odd", parameters={"binary_data_output": True}
    )
    assert response.headers["content-type"] == "application/octet-stream"
    (output,) = answer["outputs"]
    assert (output["parameters"], "data" in output) == ({"binary_data_size": 32}, False)
    assert np.frombuffer(rest, "<f4").tolist() == [0, 0, 4, -4, 0, 0, 8, -8]


async def test_an_output_can_be_binary_while_another_is_not(server: Running) -> None:
    outputs = [
        {"name": CLASSES, "parameters": {"binary_data": True, "classification": 1}},
        {"name": SCORES, "parameters": {"binary_data": False}},
    ]
    response = await infer(server, tensor_input(blue()), outputs=outputs, parameters={"binary_data_output": True})
    length = int(response.headers[HEADER])
    answer, rest = json.loads(response.content[:length]), response.content[length:]
    assert answer["outputs"][0]["parameters"] == {"binary_data_size": len(rest)}
    (size,) = struct.unpack_from("<I", rest)
    assert (size, rest[4:].split(b":")[2]) == (len(rest) - 4, b"blue")
    assert answer["outputs"][1]["data"] == [0, 0, 4, -4]


async def test_a_body_without_json_is_an_image_or_tensors(server: Running) -> None:
    async def bare(body: bytes) -> httpx.Response:
        return await server.client.post(f"{MODEL}/infer", content=body, headers={HEADER: "0"})

    response = await bare(image_bytes("lime"))
    assert b":1:lime" in response.content[int(response.headers[HEADER]) :]
    response = await bare(blue(2).tobytes())
    assert np.frombuffer(response.content[int(response.headers[HEADER]) :], "<f4").tolist()[2] == 4
    for body in (b"", b"text", blue().tobytes()[:-1]):
        response = await bare(body)
        assert "error" in response.json()
        assert 400 <= response.status_code < 500


@pytest.mark.parametrize(
    ("status", "request_body", "expected"),
    [
        (400, {}, "`inputs`"),
        (400, [], "object"),
        (400, {"inputs": []}, "0 inputs"),
        (400, {"inputs": [image_input(b""), tensor_input(blue())]}, "2 inputs"),
        (400, {"inputs": [{**image_input(b""), "name": "other"}]}, "'image_bytes', 'image'"),
        (400, {"inputs": [{**image_input(b""), "datatype": "FP32"}]}, "must be BYTES"),
        (400, {"inputs": [{**image_input(b"x"), "shape": [2]}]}, "1 elements"),
        (400, {"inputs": [{**image_input(b"x"), "shape": [-1]}]}, "whole numbers"),
        (400, {"inputs": [{**image_input(b"x"), "data": ["a b="]}]}, "base64"),
        (400, {"inputs": [{**image_input(b"x"), "data": [7]}]}, "base64"),
        (400, {"inputs": [image_input(b"")]}, "empty"),
        (415, {"inputs": [image_input(b"text")]}, "not a JPEG"),
        (413, {"inputs": [image_input(*[b"x"] * 33)]}, "at most 32"),
        (400, {"inputs": [{**tensor_input(blue()), "shape": [1, 3, SIZE, 1]}]}, "or flat"),
        (400, {"inputs": [tensor_input(np.zeros((1, 1, 1, 1)))]}, "[-1, 3, 32, 32]"),
        (400, {"inputs": [{**tensor_input(blue()), "data": [[1], [1, 2]]}]}, "different lengths"),
        (400, {"inputs": [{**tensor_input(blue()), "data": ["1", *[1] * 3071]}]}, "numbers"),
        (400, {"inputs": [{**tensor_input(blue()), "data": [10**400] * 3072}]}, "too large"),
        (400, {"inputs": [{**tensor_input(blue()), "data": [1e300] * 3072}]}, "infinity"),
        (400, {"inputs": [{**tensor_input(blue()), "data": [3e38] * 3072}]}, "not finite"),
        (400, {"inputs": [image_input(b"x")], "id": 7}, "`id`"),
        (400, {"inputs": [image_input(b"x")], "outputs": [{"name": "other"}]}, "Unknown output 'other'"),
        (400, {"inputs": [image_input(b"x")], "outputs": [{"name": CLASSES}] * 2}, "twice"),
        (
            400,
            {
                "inputs": [image_input(b"x")],
                "outputs": [{"name": CLASSES, "parameters": {"classification": 0}}],
            },
            "`classification`",
        ),
        (400, {"inputs": [image_input(b"x")], "parameters": []}, "`parameters`"),
    ],
)
async def test_a_bad_request_gets_a_specific_error(
    server: Running, status: int, request_body: Any, expected: str
) -> None:
    response = await server.client.post(f"{MODEL}/infer", json=request_body)
    assert expected in response.json()["error"]
    assert response.status_code == status


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_a_number_that_is_not_finite_is_rejected(server: Running, value: str) -> None:
    given = {**tensor_input(blue()), "data": "DATA"}
    text = json.dumps({"inputs": [given]}).replace('"DATA"', f"[{', '.join([value] * 3 * SIZE * SIZE)}]")
    response = await server.client.post(f"{MODEL}/infer", content=text.encode())
    assert response.status_code == 400
    values = blue()
    values[0, 0, 0, 0] = float(value)
    given = {"name": TENSOR, "datatype": "FP32", "shape": [1, 3, SIZE, SIZE]}
    answer, _, response = await infer_binary(server, given, values.tobytes())
    assert (response.status_code, "NaN or an infinity" in answer["error"]) == (400, True)


@pytest.mark.parametrize(
    ("length", "given", "data"),
    [
        ("x", {}, b""),
        ("99999", {}, b""),
        (None, {"parameters": {"binary_data_size": 3}}, b"1234"),
        (None, {"parameters": {"binary_data_size": "4"}}, b"1234"),
        (None, {"parameters": {"binary_data_size": 4}}, b"1234"),
        (None, {"parameters": {"binary_data_size": 8}}, b"\xff\xff\xff\xff1234"),
        (None, {"parameters": {"binary_data_size": 8}, "data": []}, b"\4\0\0\0GIF8"),
        (None, {}, b"1234"),
    ],
)
async def test_binary_data_that_does_not_match_its_description_is_rejected(
    server: Running, length: str | None, given: dict[str, Any], data: bytes
) -> None:
    content = {"inputs": [{"name": IMAGE, "datatype": "BYTES", "shape": [1], **given}]}
    head = json.dumps(content).encode()
    response = await server.client.post(
        f"{MODEL}/infer", content=head + data, headers={HEADER: length or str(len(head))}
    )
    assert response.status_code == 400
    assert response.json()["error"]


async def test_other_models_versions_and_paths_are_404(server: Running) -> None:
    for method, path in (
        ("GET", "/v2/models/other"),
        ("GET", "/v2/models/other/ready"),
        ("GET", f"{MODEL}/versions/2"),
        ("GET", f"{MODEL}/versions/2/ready"),
        ("POST", "/v2/models/other/infer"),
        ("POST", f"{MODEL}/versions/2/infer"),
        ("GET", "/v2/nowhere"),
    ):
        response = await server.client.request(method, path)
        assert (response.status_code, list(response.json())) == (404, ["error"])
    assert (await server.client.get(f"{MODEL}/infer")).status_code == 405


async def test_a_compressed_body_is_rejected(server: Running) -> None:
    response = await server.client.post(f"{MODEL}/infer", content=b"x", headers={"Content-Encoding": "gzip"})
    assert response.status_code == 415
    assert "gzip" in response.json()["error"]


async def test_one_bad_image_of_several_is_named(server: Running) -> None:
    response = await infer(server, image_input(image_bytes(), b"text"))
    assert response.status_code == 415
    assert response.json()["error"].startswith("Item 2 of 2: ")
    admission = server.state.admission
    for pool in (admission.bodies, admission.pixels, admission.workers):
        assert pool.free == pool.capacity


async def test_a_stopping_server_rejects_requests_in_the_protocols_format(server: Running) -> None:
    server.state.lifecycle.stopping = True
    response = await infer(server, image_input(image_bytes()))
    assert (response.status_code, response.headers["retry-after"] in {"1", "2", "3"}) == (503, True)
    assert "shutting down" in response.json()["error"]
