"""The access log line of a request; probes are not logged."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from tests.unit.runtime.support import image_bytes

if TYPE_CHECKING:
    import pytest

    from tests.unit.runtime.support import Running

CLASSIFY = "/api/v1/classify"
PNG = {"Content-Type": "image/png"}


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.fields for record in caplog.records if record.message == "Request"]  # type: ignore[attr-defined]


async def test_a_successful_request_logs_protocol_bytes_and_time(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        answer = await server.client.post(f"{CLASSIFY}?top_k=1", content=image_bytes(), headers=PNG)
    (line,) = lines(caplog)
    assert line.pop("duration_ms") > 0
    assert line == {
        "request_id": answer.headers["x-request-id"],
        "client": "127.0.0.1",
        "protocol": "native",
        "method": "POST",
        "path": CLASSIFY,
        "status": 200,
        "bytes_in": len(image_bytes()),
    }


async def test_a_rejected_request_logs_the_reason(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await server.client.post(CLASSIFY, content=b"no image", headers=PNG)
        await server.client.post(CLASSIFY, content=bytes(11 << 20), headers=PNG)
        await server.client.post("/v1/models/colours:predict", content=b"{")
    assert [(line["protocol"], line["status"], line["reason"], line["bytes_in"]) for line in lines(caplog)] == [
        ("native", 415, "unsupported-type", 8),
        ("native", 413, "too-many-bytes", 0),
        ("v1", 400, "body-invalid", 1),
    ]


async def test_an_unexpected_exception_is_logged_as_internal(
    server: Running, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(server.state.classifier, "classify", broken)
    with caplog.at_level(logging.INFO):
        await server.client.post(CLASSIFY, content=image_bytes(), headers=PNG)
    (line,) = lines(caplog)
    assert (line["status"], line["reason"]) == (500, "internal")


async def test_a_batch_logs_its_number_of_images(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    files = [("file", (f"{number}.png", image_bytes(), "image/png")) for number in range(3)]
    with caplog.at_level(logging.INFO):
        await server.client.post(f"{CLASSIFY}/batch", files=files)
    assert lines(caplog)[0]["items"] == 3


async def test_probes_are_not_logged(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for path in ("/api/v1/health/ready", "/api/v1/health/live", "/metrics", "/v2/health/ready"):
            assert (await server.client.get(path)).status_code == 200
    assert lines(caplog) == []


async def test_a_request_without_an_id_gets_a_unique_one(server: Running) -> None:
    answers = [await server.client.get("/api/v1/health/live") for _ in range(600)]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == 600
    assert all(len(each) == 32 and int(each, 16) >= 0 for each in ids)
