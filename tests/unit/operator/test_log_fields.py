"""A line of the log says which object it is about."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

from imageclassifier_operator import cli
from imageclassifier_operator.log_fields import reconcile_of, set_generation

if TYPE_CHECKING:
    import pytest

logger = logging.getLogger("imageclassifier_operator.test")


async def test_lines_of_concurrent_reconciles_have_their_own_objects(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    cli._configure_json_logging("INFO")

    async def reconcile(name: str, generation: int) -> None:
        with reconcile_of("vision", name, cause="event"):
            set_generation(generation)
            await asyncio.sleep(0.01)
            logger.info("Applied")

    await asyncio.gather(reconcile("pets", 2), reconcile("cars", 7))
    logger.info("Operator started")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    fields = [{key: line.get(key) for key in ("object", "generation", "cause")} for line in lines]
    assert sorted(fields[:2], key=str) == [
        {"object": "vision/cars", "generation": 7, "cause": "event"},
        {"object": "vision/pets", "generation": 2, "cause": "event"},
    ]
    assert not {"object", "generation", "cause"} & lines[2].keys()
