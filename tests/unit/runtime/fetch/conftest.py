"""A model store on loopback, and settings for it; retries do not sleep."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.settings.commands import FetchSettings

from tests.unit.runtime.fetch.model_store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.close()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FetchSettings:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return FetchSettings(
        model_dir=tmp_path / "model",
        allow_loopback=True,
        timeout_seconds=20,
        read_seconds=5,
        termination_log=tmp_path / "termination-log",
    )
