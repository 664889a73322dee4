"""A part of the process that hangs makes the liveness probe fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest
from imageclassifier_operator.controller import Heartbeats
from imageclassifier_operator.health import serve_health
from imageclassifier_operator.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_part_is_silent_from_its_own_limit_until_its_next_sign_of_life() -> None:
    now = 0.0
    heartbeats = Heartbeats(clock=lambda: now)
    heartbeats.beat("resync", within=100)
    heartbeats.beat("worker 1", within=50)
    now = 60.0
    assert heartbeats.silent() == ["worker 1: silent for 60 s"]
    heartbeats.beat("worker 1", within=50)
    assert heartbeats.silent() == []


def test_a_part_that_waits_for_work_is_never_silent() -> None:
    now = 0.0
    heartbeats = Heartbeats(clock=lambda: now)
    heartbeats.beat("worker 1", within=50)
    heartbeats.rest("worker 1")
    now = 1e6
    assert heartbeats.silent() == []


@pytest.mark.parametrize(
    ("silent", "status", "text"),
    [(list, 200, "ok\n"), (lambda: ["resync: silent for 200 s"], 503, "resync: silent for 200 s\n")],
)
async def test_the_liveness_probe_names_the_parts_that_hang(
    silent: Callable[[], list[str]], status: int, text: str
) -> None:
    runners = await serve_health(
        host="127.0.0.1", probe_port=0, metrics_port=0, ready=lambda: True, silent=silent, metrics=Metrics()
    )
    try:
        url = f"http://127.0.0.1:{runners[0].addresses[0][1]}/healthz"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            assert (response.status, await response.text()) == (status, text)
    finally:
        for runner in runners:
            await runner.cleanup()
