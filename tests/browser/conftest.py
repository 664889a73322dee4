"""One Chromium for all tests of the page; without it they are skipped, and with `CI` set they fail."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.browser.chromium import Chromium
from tests.unit.runtime.process import Served
from tests.unit.runtime.support import image_bytes, write_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = shutil.which("chromium")
    if program is None:
        reason = "no chromium here: install Debian's package of that name, or run `make browser` as root"
        if os.environ.get("CI", "").lower() not in {"", "0", "false"}:
            pytest.fail(reason)
        pytest.skip(reason)
    browser = Chromium(program, tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.end()


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "colours")


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("photos") / "red.png"
    file.write_bytes(image_bytes("red", size=(400, 300)))
    return file


@pytest.fixture(scope="session")
def served(model_path: Path) -> Iterator[Served]:
    server = Served(MODEL_DIR=model_path)
    yield server
    server.kill()
