"""The HTTP API as its clients see it."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from e2e.scenarios.hostile_bytes import form
from tests.unit.runtime.support import LABELS, Running, image_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSIFY = "/api/v1/classify"
RAW = {"Content-Type": "image/png"}
FORM = {"Content-Type": "multipart/form-data; boundary=frontier"}


@pytest.mark.parametrize("colour", LABELS[:3])
async def test_a_raw_image_is_classified(server: Running, colour: str) -> None:
    response = await server.client.post(CLASSIFY, content=image_bytes(colour), headers=RAW)
    assert response.status_code == 200
    answer = response.json()
    assert answer["predictions"][0]["class_name"] == colour
    assert answer["predictions"][0]["class_id"] == LABELS.index(colour)
    assert sum(entry["probability"] for entry in answer["predictions"]) == pytest.approx(1, abs=1e-4)
    info = server.state.classifier.model.info
    assert answer["model"] == {"name": info.name, "sha256": info.sha256}
    stages = {"receive", "queue", "decode", "preprocess", "inference", "postprocess", "total"}
    assert set(answer["timings_ms"]) == stages


async def test_a_form_gives_the_same_answer_as_a_raw_body(server: Running) -> None:
    raw = await server.client.post(CLASSIFY, content=image_bytes(), headers=RAW)
    as_form = await server.client.post(CLASSIFY, files={"file": ("x.png", image_bytes())})
    assert as_form.json()["predictions"] == raw.json()["predictions"]


async def test_top_k_in_the_query_or_in_the_form(server: Running) -> None:
    for request in (
        {"params": {"top_k": 2}, "content": image_bytes(), "headers": RAW},
        {"data": {"top_k": "2"}, "files": {"file": image_bytes()}},
        {"params": {"top_k": 4}, "data": {"top_k": "2"}, "files": {"file": image_bytes()}},
    ):
        response = await server.client.post(CLASSIFY, **request)
        assert len(response.json()["predictions"]) == 2


async def test_top_k_above_the_number_of_classes_returns_all(server: Running) -> None:
    response = await server.client.post(CLASSIFY, params={"top_k": 10}, content=image_bytes(), headers=RAW)
    assert len(response.json()["predictions"]) == len(LABELS)


@pytest.mark.parametrize("value", ["0", "11", "-1", "five", "", "1.0", "٣"])
async def test_an_invalid_top_k_gets_422(server: Running, value: str) -> None:
    response = await server.client.post(CLASSIFY, params={"top_k": value}, content=image_bytes(), headers=RAW)
    assert response.status_code == 422
    assert "top_k must be a whole number from 1 to 10" in response.json()["detail"]


async def test_every_error_is_problem_details(server: Running) -> None:
    requests: list[tuple[int, dict[str, Any]]] = [
        (400, {"method": "POST", "url": CLASSIFY, "content": image_bytes()[:60], "headers": RAW}),
        (404, {"method": "GET", "url": "/api/v1/nothing"}),
        (404, {"method": "GET", "url": f"{CLASSIFY}/"}),
        (405, {"method": "GET", "url": CLASSIFY}),
        (405, {"method": "DELETE", "url": "/api/v1/health"}),
        (413, {"method": "POST", "url": CLASSIFY, "content": bytes(11 << 20), "headers": RAW}),
        (415, {"method": "POST", "url": CLASSIFY, "content": b"text", "headers": RAW}),
        (422, {"method": "POST", "url": CLASSIFY, "content": form(("a", b"")), "headers": FORM}),
    ]
    for status, request in requests:
        response = await server.client.request(**request)
        problem = response.json()
        assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
        assert problem["status"] == status
        assert {"type", "title", "detail"} <= set(problem)
        assert problem["detail"]


async def test_405_lists_the_allowed_methods(server: Running) -> None:
    response = await server.client.get(CLASSIFY)
    assert response.headers["allow"] == "POST"


async def test_too_many_pixels_get_413_before_decoding(make_server: Callable[..., Running]) -> None:
    server = make_server(max_image_pixels=1199)
    response = await server.client.post(CLASSIFY, content=image_bytes(size=(40, 30)), headers=RAW)
    assert response.status_code == 413
    assert "40 x 30" in response.json()["detail"]


async def test_a_full_queue_gets_503_with_retry_after(make_server: Callable[..., Running]) -> None:
    server = make_server(max_queue_size=1)
    server.state.admission.waiting = 1
    response = await server.client.post(CLASSIFY, content=image_bytes(), headers=RAW)
    assert (response.status_code, response.headers["retry-after"] in {"1", "2", "3"}) == (503, True)
    assert response.json()["reason"] == "queue-full"


async def test_an_unexpected_exception_gets_500_without_internals(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(server.state.classifier, "classify", fail)
    server.client._transport.raise_app_exceptions = False  # type: ignore[attr-defined]
    response = await server.client.post(CLASSIFY, content=image_bytes(), headers=RAW)
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in response.text
    admission = server.state.admission
    assert admission.pixels.free == admission.pixels.capacity


async def test_health_follows_the_lifecycle(server: Running) -> None:
    async def statuses() -> list[int]:
        paths = ("/api/v1/health", "/api/v1/health/ready", "/api/v1/health/live")
        return [(await server.client.get(path)).status_code for path in paths]

    lifecycle = server.state.lifecycle
    assert await statuses() == [200, 200, 200]
    assert (await server.client.get("/api/v1/health")).json()["status"] == "ok"
    lifecycle.ready = False
    assert await statuses() == [503, 503, 200]
    lifecycle.ready = lifecycle.draining = True
    assert await statuses() == [503, 503, 200]
    assert (await server.client.get("/api/v1/health")).json()["status"] == "draining"


async def test_retry_after_is_spread_over_rejected_clients(
    make_server: Callable[..., Running],
) -> None:
    server = make_server(max_queue_size=1)
    server.state.admission.waiting = 1
    found = {
        (await server.client.post(CLASSIFY, content=image_bytes(), headers=RAW)).headers["retry-after"]
        for _ in range(100)
    }
    assert found == {"1", "2", "3"}


async def test_a_draining_server_closes_connections_and_a_stopping_one_rejects_requests(server: Running) -> None:
    server.state.lifecycle.draining = True
    response = await server.client.post(CLASSIFY, content=image_bytes(), headers=RAW)
    assert (response.status_code, response.headers["connection"]) == (200, "close")
    server.state.lifecycle.stopping = True
    response = await server.client.post(CLASSIFY, content=image_bytes(), headers=RAW)
    assert (response.status_code, response.headers["retry-after"] in {"1", "2", "3"}) == (503, True)


async def test_model_info_has_the_models_metadata(server: Running) -> None:
    info = (await server.client.get("/api/v1/model/info")).json()
    assert (info["classes"], info["labels"], info["precision"]) == (4, list(LABELS), "FP32")
    assert info["limits"]["max_image_pixels"] == 25_000_000


async def test_a_request_id_is_kept_or_generated(server: Running) -> None:
    kept = await server.client.get("/api/v1/health", headers={"X-Request-ID": "trace-1.2"})
    assert kept.headers["x-request-id"] == "trace-1.2"
    headers = [("X-Request-ID", "not with spaces")]
    made = await server.client.get("/api/v1/health", headers=headers)
    assert len(made.headers["x-request-id"]) == 32


async def test_one_log_line_per_request_and_none_for_health(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "imageclassifier_runtime.access")
    await server.client.get("/api/v1/health/ready")
    await server.client.get("/metrics")
    await server.client.post(CLASSIFY, content=image_bytes(), headers=RAW | {"X-Request-ID": "r1"})
    fields = [record.fields for record in caplog.records if record.name.endswith("access")]  # type: ignore[attr-defined]
    assert [(line["request_id"], line["status"], line["method"]) for line in fields] == [("r1", 200, "POST")]


async def test_metrics_count_responses_rejections_and_stages(server: Running) -> None:
    await server.client.post(CLASSIFY, content=image_bytes(), headers=RAW)
    await server.client.post(CLASSIFY, content=b"text", headers=RAW)
    await server.client.get("/nowhere")
    text = (await server.client.get("/metrics")).text
    for line in (
        'imageclassifier_requests_total{code="200",protocol="native"} 1.0',
        'imageclassifier_requests_total{code="415",protocol="native"} 1.0',
        'imageclassifier_requests_total{code="404",protocol="other"} 1.0',
        'imageclassifier_rejected_total{reason="unsupported-type"} 1.0',
        'imageclassifier_stage_duration_seconds_count{stage="decode"} 1.0',
        "imageclassifier_queue_depth 0.0",
        "imageclassifier_in_flight_requests 0.0",
        'precision="FP32"',
    ):
        assert line in text


async def test_two_servers_in_one_process_share_no_metrics(make_server: Callable[..., Running]) -> None:
    first, second = make_server(), make_server()
    await first.client.post(CLASSIFY, content=image_bytes(), headers=RAW)
    assert 'code="200"' not in (await second.client.get("/metrics")).text


async def test_the_openapi_document_matches_the_response_of_classify(server: Running) -> None:
    document = (await server.client.get("/openapi.json")).json()
    operation = document["paths"][CLASSIFY]["post"]
    assert {"multipart/form-data", "image/jpeg", "application/octet-stream"} <= set(
        operation["requestBody"]["content"]
    )
    assert {"200", "400", "408", "413", "415", "422", "503"} == set(operation["responses"])
    assert "application/problem+json" in operation["responses"]["422"]["content"]
    assert operation["parameters"][0]["name"] == "top_k"
    assert "HTTPValidationError" not in json.dumps(document)


async def test_the_openapi_document_declares_x_cache_for_every_response_to_images(server: Running) -> None:
    paths = (await server.client.get("/openapi.json")).json()["paths"]
    found = {
        path
        for path, methods in paths.items()
        for operation in methods.values()
        if "X-Cache" in operation["responses"].get("200", {}).get("headers", {})
    }
    versions = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")
    assert {CLASSIFY, "/api/v1/classify/batch", *(f"{path}/infer" for path in versions)} <= found
    assert all(path.endswith(("classify", "classify/batch", "/infer", ":predict")) for path in found)
    assert any(path.endswith(":predict") for path in found)


async def test_the_openapi_document_has_every_protocol_with_its_path_parameters(server: Running) -> None:
    paths = (await server.client.get("/openapi.json")).json()["paths"]
    for path, method in {
        "/api/v1/classify/batch": "post",
        "/v2": "get",
        "/v2/health/ready": "get",
        "/v2/models/{name}": "get",
        "/v2/models/{name}/versions/{version}/infer": "post",
        "/v2/repository/index": "post",
        "/v1/models/{name}": "get",
        "/v1/models/{name}:predict": "post",
    }.items():
        named = {item["name"] for item in paths[path][method].get("parameters", []) if item["in"] == "path"}
        assert named == {name for name in ("name", "version") if f"{{{name}}}" in path}
    answers = paths["/v2/models/{name}/infer"]["post"]["responses"]
    assert answers["400"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}
    identities = [operation["operationId"] for methods in paths.values() for operation in methods.values()]
    assert len(set(identities)) == len(identities)


async def test_the_docs_page_loads_no_external_resources(server: Running) -> None:
    response = await server.client.get("/docs")
    assert "/v2/models/{name}/infer" in response.text
    assert response.headers["content-type"].startswith("text/html")
    assert CLASSIFY in response.text
    assert "src=" not in response.text
    assert "https://" not in response.text


async def test_the_docs_page_has_example_responses(server: Running) -> None:
    page = html.unescape((await server.client.get("/docs")).text)
    examples = [json.loads(text) for text in re.findall(r"response</summary><pre>(.*?)</pre>", page, re.DOTALL)]
    assert {"status": "ok", "model": "…", "waiting": 0, "running": 0} in examples
    assert {"name": "…", "ready": True} in examples
    prediction = {"class_id": 0, "class_name": "…", "probability": 0.0}
    model = {"name": "…", "sha256": "…"}
    assert {"predictions": [prediction], "timings_ms": {}, "model": model} in examples
