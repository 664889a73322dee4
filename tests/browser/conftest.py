"""Debian's Chromium, controlled by Playwright; without it the tests are skipped, and with `CI` set they fail."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.unit.runtime.process import Served
from tests.unit.runtime.support import image_bytes, write_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

_MILLISECONDS = 60_000
_OPTIONS = ("--proxy-server=direct://", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1")
"""The browser can reach only loopback, whatever the page requests."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        reason = "chromium is not installed: install Debian's package chromium, or run `make browser` as root"
        if os.environ.get("CI", "").lower() not in {"", "0", "false"}:
            pytest.fail(reason)
        pytest.skip(reason)
    expect.set_options(timeout=_MILLISECONDS)
    with sync_playwright() as playwright:
        # the sandbox does not run as root
        sandboxed = os.geteuid() != 0
        browser = playwright.chromium.launch(
            executable_path=program, args=list(_OPTIONS), chromium_sandbox=sandboxed, timeout=_MILLISECONDS
        )
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a tab without cookies, cache or storage; the options are those of Playwright's `new_page`."""
    opened: list[Page] = []

    def open_tab(**options: Any) -> Page:
        page = chromium.new_page(**options)
        page.set_default_timeout(_MILLISECONDS)
        opened.append(page)
        return page

    yield open_tab
    for page in opened:
        page.close()


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "colours")


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("photos") / "red.png"
    file.write_bytes(image_bytes("red", size=(400, 300)))
    return file


@pytest.fixture(scope="session")
def server(model_path: Path) -> Iterator[Served]:
    server = Served(MODEL_DIR=model_path)
    yield server
    server.kill()
