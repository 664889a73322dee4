"""W3C trace context: parents, malformed headers, and the sampling decision."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from tests.unit.runtime.telemetry.traces import PARENT_ID, SAMPLED, TRACE_ID, UNSAMPLED, finish

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.otlp import Receiver
    from tests.unit.runtime.support import Running


@pytest.mark.parametrize(
    ("ratio", "parent_based", "traceparent", "sampled"),
    [
        (1.0, True, None, True),
        (0.0, True, None, False),
        (0.0, True, SAMPLED, True),
        (1.0, True, UNSAMPLED, False),
        (1.0, False, UNSAMPLED, True),
        (0.0, False, SAMPLED, False),
    ],
)
async def test_the_parent_or_without_one_the_ratio_decides_on_sampling(
    traced: Callable[..., Running],
    receiver: Receiver,
    ratio: float,
    parent_based: bool,
    traceparent: str | None,
    sampled: bool,
) -> None:
    server = traced(ratio=ratio, parent_based=parent_based)
    headers = {"traceparent": traceparent} if traceparent else {}
    assert (await server.client.get("/v2", headers=headers)).status_code == 200
    finish(server)
    assert len(receiver.spans) == int(sampled)


async def test_a_ratio_samples_about_its_share(traced: Callable[..., Running], receiver: Receiver) -> None:
    server = traced(ratio=0.5)
    for _ in range(100):
        await server.client.get("/v2")
    finish(server)
    assert 20 <= len(receiver.spans) <= 80


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00-0-0-01",
        f"00-{'0' * 32}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID.upper()}-{PARENT_ID}-01",
        f"ff-{TRACE_ID}-{PARENT_ID}-01",
        f"{SAMPLED}-more",
        f"00-{TRACE_ID}-{PARENT_ID}-1",
        "x" * 4000,
    ],
)
async def test_a_malformed_traceparent_starts_a_new_trace(
    traced: Callable[..., Running], receiver: Receiver, traceparent: str
) -> None:
    server = traced()
    await server.client.get("/v2", headers={"traceparent": traceparent, "tracestate": "vendor=1"})
    finish(server)
    (span,) = receiver.spans
    assert span.parent_id == ""
    assert span.trace_state == ""
    assert span.trace_id not in {TRACE_ID, "0" * 32}


async def test_a_duplicate_traceparent_is_malformed(traced: Callable[..., Running], receiver: Receiver) -> None:
    server = traced()
    await server.client.get("/v2", headers=[("traceparent", SAMPLED), ("traceparent", SAMPLED)])
    finish(server)
    assert receiver.spans[0].parent_id == ""


async def test_a_malformed_tracestate_is_dropped_and_not_logged(
    traced: Callable[..., Running], receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    server = traced()
    await server.client.get("/v2", headers={"traceparent": SAMPLED, "tracestate": "no pairs at all"})
    finish(server)
    assert (receiver.spans[0].parent_id, receiver.spans[0].trace_state) == (PARENT_ID, "")
    assert "no pairs at all" not in caplog.text


async def test_a_later_version_of_traceparent_is_accepted(
    traced: Callable[..., Running], receiver: Receiver
) -> None:
    server = traced()
    await server.client.get("/v2", headers={"traceparent": f"cc-{TRACE_ID}-{PARENT_ID}-01-what-the-future-brings"})
    finish(server)
    assert (receiver.spans[0].trace_id, receiver.spans[0].parent_id) == (TRACE_ID, PARENT_ID)


async def test_the_log_line_of_an_unsampled_request_has_the_trace_id(
    traced: Callable[..., Running], caplog: pytest.LogCaptureFixture
) -> None:
    server = traced()
    with caplog.at_level(logging.INFO):
        await server.client.get("/v2", headers={"traceparent": UNSAMPLED})
    (line,) = [record.fields for record in caplog.records if record.message == "Request"]  # type: ignore[attr-defined]
    assert line["trace_id"] == TRACE_ID
    assert json.dumps(line)
