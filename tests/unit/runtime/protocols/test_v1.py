"""KServe's protocol v1 and TensorFlow Serving's REST API, which share their paths."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from tests.unit.runtime.support import LABELS, SIZE, Running, image_bytes

MODEL = "/v1/models/colours"
PREDICT = f"{MODEL}:predict"


def b64(colour: str = "red") -> dict[str, str]:
    return {"b64": base64.b64encode(image_bytes(colour)).decode()}


def tensor(blue: float = 1) -> list[Any]:
    values = np.zeros((3, SIZE, SIZE), np.float32)
    values[2] = blue
    result: list[Any] = values.tolist()
    return result


async def test_the_status_satisfies_both_protocols(server: Running) -> None:
    assert (await server.client.get("/v1/models")).json() == {"models": ["colours"]}
    assert (await server.client.get("/")).json() == {"status": "alive"}
    for path in (MODEL, f"{MODEL}/versions/1"):
        response = await server.client.get(path)
        assert response.json() == {
            "name": "colours",
            "ready": True,
            "model_version_status": [
                {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
            ],
        }


async def test_the_status_follows_the_lifecycle(server: Running) -> None:
    lifecycle = server.state.lifecycle
    for ready, draining, state in ((False, False, "LOADING"), (True, True, "UNLOADING")):
        lifecycle.ready, lifecycle.draining = ready, draining
        response = await server.client.get(MODEL)
        assert (response.status_code, response.headers["retry-after"] in {"1", "2", "3"}) == (503, True)
        assert response.json()["ready"] is False
        assert response.json()["model_version_status"][0]["state"] == state


async def test_the_metadata_has_a_signature_for_images_and_one_for_tensors(server: Running) -> None:
    answer = (await server.client.get(f"{MODEL}/metadata")).json()
    assert answer["model_spec"] == {"name": "colours", "signature_name": "", "version": "1"}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    image = signatures["serving_default"]["inputs"]["image_bytes"]
    assert (image["dtype"], image["tensor_shape"]["dim"]) == ("DT_STRING", [{"size": "-1", "name": ""}])
    assert set(signatures["serving_default"]["outputs"]) == {"classes", "probabilities", "class_ids"}
    numbers = signatures["tensor"]["inputs"]["image"]
    assert [dim["size"] for dim in numbers["tensor_shape"]["dim"]] == ["-1", "3", "32", "32"]
    assert list(signatures["tensor"]["outputs"]) == ["logits"]


@pytest.mark.parametrize("path", [PREDICT, f"{MODEL}/versions/1:predict"])
@pytest.mark.parametrize("name", [None, "image_bytes"])
async def test_images_in_rows_are_answered_with_classes_in_rows(
    server: Running, path: str, name: str | None
) -> None:
    images = [b64("lime"), b64("blue")]
    instances = [{name: image} for image in images] if name else images
    response = await server.client.post(path, json={"instances": instances})
    rows = response.json()["predictions"]
    native = await server.client.post("/api/v1/classify", files={"file": image_bytes("blue")})
    predictions = native.json()["predictions"]
    assert rows[0]["classes"][0] == "lime"
    assert rows[1] == {
        "classes": [prediction["class_name"] for prediction in predictions],
        "probabilities": [prediction["probability"] for prediction in predictions],
        "class_ids": [prediction["class_id"] for prediction in predictions],
    }


async def test_images_in_columns_are_answered_with_classes_in_columns(server: Running) -> None:
    for inputs in ([b64("lime"), b64("blue")], {"image_bytes": [b64("lime"), b64("blue")]}):
        response = await server.client.post(PREDICT, params={"top_k": 1}, json={"inputs": inputs})
        outputs = response.json()["outputs"]
        assert outputs["classes"] == [["lime"], ["blue"]]
        assert outputs["class_ids"] == [[1], [2]]


async def test_tensors_are_answered_with_the_models_scores(server: Running) -> None:
    scores = [[0, 0, 4, -4], [0, 0, 8, -8]]
    for instances in ([tensor(1), tensor(2)], [{"image": tensor(1)}, {"image": tensor(2)}]):
        request = {"instances": instances, "signature_name": "tensor"}
        assert (await server.client.post(PREDICT, json=request)).json() == {"predictions": scores}
    for inputs in ([tensor(1), tensor(2)], {"image": [tensor(1), tensor(2)]}):
        assert (await server.client.post(PREDICT, json={"inputs": inputs})).json() == {"outputs": scores}


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (400, b"", "not valid JSON"),
        (400, b"{", "not valid JSON"),
        (400, b'{"instances": [NaN]}', "NaN"),
        (400, b'{"instances": [' + b"9" * 5000 + b"]}", "too many digits"),
        (400, b'"\xff"', "UTF-8"),
        (400, b"[]", "`instances`"),
        (400, b"{}", "`instances`"),
        (400, b'{"instances": [], "inputs": []}', "`instances`"),
        (400, b'{"instances": []}', "no image"),
        (400, b'{"instances": {}}', "list"),
        (400, b'{"inputs": "x"}', "list"),
        (400, b'{"instances": ["x"]}', "b64"),
        (400, b'{"instances": [{"b64": "eA=="}, [1]]}', "one kind"),
        (400, b'{"instances": [{"b64": 1}]}', "base64"),
        (400, b'{"instances": [{"b64": "eA="}]}', "base64"),
        (400, b'{"instances": [{"b64": "eA==\\n"}]}', "base64"),
        (400, b'{"instances": [{"b64": "\xc3\xa9"}]}', "base64"),
        (400, b'{"instances": [[[[1]]]]}', "[-1, 3, 32, 32]"),
        (400, b'{"instances": [[[["1"]]]]}', "numbers"),
        (400, b'{"instances": [[true]]}', "numbers"),
        (400, b'{"instances": [[]]}', "shape"),
        (400, b'{"instances": [[1], [1, 2]]}', "different lengths"),
        (400, b'{"instances": [[1]], "signature_name": "other"}', "Unknown signature 'other'"),
        (413, b'{"instances": [' + b",".join([b'{"b64": ""}'] * 33) + b"]}", "at most 32"),
        (415, b'{"instances": [{"b64": "eA=="}]}', "not a JPEG"),
    ],
)
async def test_a_bad_request_gets_a_specific_error(
    server: Running, status: int, content: bytes, expected: str
) -> None:
    response = await server.client.post(PREDICT, content=content)
    assert expected in response.json()["error"]
    assert response.status_code == status


async def test_an_invalid_top_k_and_other_models_are_rejected(server: Running) -> None:
    response = await server.client.post(PREDICT, params={"top_k": 11}, json={})
    assert (response.status_code, list(response.json())) == (422, ["error"])
    for method, path in (
        ("GET", "/v1/models/other"),
        ("GET", "/v1/models/other/metadata"),
        ("GET", f"{MODEL}/versions/2"),
        ("POST", "/v1/models/other:predict"),
        ("POST", f"{MODEL}:explain"),
    ):
        response = await server.client.request(method, path)
        assert (response.status_code in {404, 405}, list(response.json())) == (True, ["error"])


async def test_predictions_are_counted_as_v1_and_status_requests_are_not(server: Running) -> None:
    await server.client.get(MODEL)
    await server.client.post(PREDICT, json={"instances": [b64()] * 2})
    await server.client.post(PREDICT, json={})
    text = (await server.client.get("/metrics")).text
    assert 'imageclassifier_requests_total{code="200",protocol="v1"} 1.0' in text
    assert 'imageclassifier_requests_total{code="400",protocol="v1"} 1.0' in text
    assert 'imageclassifier_stage_duration_seconds_count{stage="inference"} 2.0' in text
    assert len(LABELS) == 4
