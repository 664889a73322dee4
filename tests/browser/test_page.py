"""The page at `/` in a real browser: photographs in by every way, classes and timings out, nothing else loaded."""

from __future__ import annotations

import base64
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from imageclassifier_runtime import serve
from imageclassifier_runtime.model import folder as model_folder
from imageclassifier_runtime.request.problems import of_status
from imageclassifier_runtime.settings.commands import ServeSettings
from imageclassifier_runtime.web.app import create_app

from tests.unit.runtime.process import Served
from tests.unit.runtime.support import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

    from tests.browser.chromium import Chromium

STATE = "document.querySelector('#main').dataset.state"
TAB = ("Tab", 9)
KEY = "the-key-of-this-test"


@pytest.fixture
def page(chromium: Chromium, served: Served) -> Chromium:
    chromium.open(f"http://127.0.0.1:{served.port}/")
    return chromium


def text(browser: Chromium, selector: str) -> str:
    found: str = browser.run(f"document.querySelector({json.dumps(selector)}).innerText")
    return found


def visible(browser: Chromium, selector: str) -> bool:
    return bool(browser.run(f"document.querySelector({json.dumps(selector)}).checkVisibility()"))


def files(photo: Path) -> str:
    """Return JavaScript that makes a DataTransfer with the photograph in it, as a drop or a paste has."""
    data = base64.b64encode(photo.read_bytes()).decode()
    return (
        f"const bytes = Uint8Array.from(atob('{data}'), (letter) => letter.charCodeAt(0));"
        "const carried = new DataTransfer();"
        f"carried.items.add(new File([bytes], '{photo.name}', {{type: 'image/png'}}));"
    )


def assert_red(browser: Chromium) -> None:
    browser.wait(f"{STATE} === 'done'")
    names = browser.run("[...document.querySelectorAll('#classes .name')].map((name) => name.textContent)")
    assert names[0] == "red"
    assert sorted(names) == sorted(LABELS)


def test_a_chosen_photograph_shows_its_classes_as_bars_and_the_time_of_each_stage(
    page: Chromium, photo: Path
) -> None:
    assert page.run(STATE) == "empty"
    page.choose("#file", photo)
    assert_red(page)
    shares = page.run(
        "[...document.querySelectorAll('#classes .share')].map((one) => parseFloat(one.textContent))"
    )
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.3)
    page.wait(
        "[...document.querySelectorAll('#classes li')].every((item) => { const bar = item.querySelector('.bar'); "
        "const part = 100 * bar.firstChild.offsetWidth / bar.offsetWidth; "
        "return Math.abs(part - parseFloat(item.querySelector('.share').textContent)) < 1; })"
    )
    stages = page.run("[...document.querySelectorAll('#timings dt')].map((stage) => stage.textContent)")
    assert stages[:-2] == ["Receive", "Queue", "Decode", "Preprocess", "Inference", "Postprocess"]
    assert text(page, "#timings dd").endswith(" ms")
    assert page.run("document.querySelector('#preview').naturalWidth") == 400
    assert text(page, "#status").startswith("red, ")


def test_a_photograph_can_be_dropped_anywhere_and_pasted(page: Chromium, photo: Path) -> None:
    for event in (
        "new DragEvent('drop', {dataTransfer: carried",
        "new ClipboardEvent('paste', {clipboardData: carried",
    ):
        page.run("location.reload()")
        page.wait(f"document.readyState === 'complete' && {STATE} === 'empty'")
        page.run(f"{{ {files(photo)} document.body.dispatchEvent({event}, bubbles: true, cancelable: true}})) }}")
        assert_red(page)


def test_what_is_not_a_picture_shows_the_servers_own_words_and_the_next_photograph_clears_them(
    page: Chromium, photo: Path, tmp_path: Path
) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("nothing to see")
    page.choose("#file", other)
    page.wait(f"{STATE} === 'failed'")
    assert text(page, "#problem-title") == "Not a type that this server takes"
    assert text(page, "#problem-detail") == "These bytes are no JPEG, PNG, WebP, BMP or GIF image."
    assert text(page, "#problem-facts").startswith("Status 415 · request ")
    assert not visible(page, "#result")
    assert not visible(page, "#key-form")
    page.choose("#file", photo)
    assert_red(page)
    assert not visible(page, "#problem")


def test_the_foot_names_the_model_its_precision_and_its_digest(page: Chromium, model_path: Path) -> None:
    info = model_folder.load(model_path).info
    page.wait("document.querySelector('#facts').children.length > 0")
    facts = text(page, "#facts").split()
    assert {info.name, info.precision, info.sha256} <= set(facts)


def test_the_keyboard_reaches_the_photograph_and_its_focus_is_seen(page: Chromium) -> None:
    def focused() -> str:
        name: str = page.run("document.activeElement.id || document.activeElement.localName")
        return name

    page.send("Page.bringToFront")
    page.press(*TAB)
    assert focused() == "a"
    page.press(*TAB)
    assert focused() == "file"
    assert page.run("getComputedStyle(document.querySelector('#drop')).outlineStyle") == "solid"
    page.press(*TAB)
    assert focused() != "shot"  # there is no camera button where there is no touch screen


def test_nothing_comes_from_elsewhere_and_the_policy_has_nothing_to_refuse(
    page: Chromium, served: Served, photo: Path
) -> None:
    page.choose("#file", photo)
    assert_red(page)
    asked = [
        event["params"]["request"]["url"]
        for event in page.events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert any("/api/v1/classify" in url for url in asked)
    own = (f"http://127.0.0.1:{served.port}/", "blob:", "data:")
    assert [url for url in asked if not url.startswith(own)] == []
    said = [event for event in page.events if event["method"] in {"Log.entryAdded", "Runtime.exceptionThrown"}]
    assert said == []


def test_the_policy_refuses_what_the_page_does_not_have(page: Chromium) -> None:
    page.run("document.body.insertAdjacentElement('beforeend', document.createElement('img')).src = 'docs'")
    page.run("document.querySelector('main').setAttribute('style', 'color: red')")
    page.wait("getComputedStyle(document.querySelector('main')).color !== 'rgb(255, 0, 0)'")
    refused = [str(event) for event in page.events if event["method"] == "Log.entryAdded"]
    assert any("img-src" in text for text in refused)
    assert any("style-src" in text for text in refused)


@pytest.mark.parametrize("width", [320, 390, 768, 1440])
def test_no_width_needs_to_be_scrolled_sideways(page: Chromium, photo: Path, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 700}
    page.send("Emulation.setDeviceMetricsOverride", **size)
    page.send("Emulation.setTouchEmulationEnabled", enabled=width < 700)
    try:
        page.choose("#file", photo)
        assert_red(page)
        assert page.run("document.documentElement.scrollWidth") <= width
        assert visible(page, "#camera") == (width < 700)
    finally:
        page.send("Emulation.clearDeviceMetricsOverride")
        page.send("Emulation.setTouchEmulationEnabled", enabled=False)


_CONTRAST = """(() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (!/^rgba\\(.*, 0\\)$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("body *")]
    .filter((one) => one.checkVisibility() && [...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .map((one) => {
      const pair = [light(getComputedStyle(one).color), light(ground(one))].sort((a, b) => b - a);
      return [one.textContent.trim(), (pair[0] + 0.05) / (pair[1] + 0.05)];
    });
})()"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_has_the_contrast_that_wcag_asks_for(
    page: Chromium, photo: Path, tmp_path: Path, theme: str
) -> None:
    page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    other = tmp_path / "notes.txt"
    other.write_text("nothing to see")
    seen = {}
    for file, state in ((photo, "done"), (other, "failed")):
        page.choose("#file", file)
        page.wait(f"{STATE} === '{state}'")
        page.wait("document.getAnimations().length === 0")
        seen.update(dict(page.run(_CONTRAST)))
    page.send("Emulation.setEmulatedMedia", features=[])
    assert len(seen) > 15
    assert {words: ratio for words, ratio in seen.items() if ratio < 4.5} == {}


def test_a_server_that_is_gone_is_said_and_asked_again_on_demand(
    chromium: Chromium, model_path: Path, photo: Path
) -> None:
    server = Served(MODEL_DIR=model_path)
    try:
        chromium.open(f"http://127.0.0.1:{server.port}/")
    finally:
        server.kill()
    chromium.choose("#file", photo)
    chromium.wait(f"{STATE} === 'failed'")
    assert text(chromium, "#problem-title") == "The server cannot be reached"
    again = Served(MODEL_DIR=model_path, PORT=server.port)
    try:
        chromium.run("document.querySelector('#again').click()")
        assert_red(chromium)
    finally:
        again.kill()


class Locked:
    """The real application behind a wall that wants a key for everything but the page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope.get("headers") or [])
        if (
            scope["type"] == "http"
            and scope["path"] != "/"
            and headers.get(b"authorization") != f"Bearer {KEY}".encode()
        ):
            answer: Any = of_status(401, "This server wants a key.", headers={"WWW-Authenticate": "Bearer"})
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)


@pytest.fixture
def locked(model_path: Path) -> Iterator[int]:
    settings = ServeSettings(model_dir=model_path, memory_limit_bytes=1 << 30)
    state, workers = serve.build(settings, model_folder.load(model_path), threads=1)
    state.lifecycle.ready = True
    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(Locked(create_app(state)), log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    yield sock.getsockname()[1]
    server.should_exit = True
    thread.join()
    workers.shutdown()
    sock.close()


def test_a_key_is_asked_for_where_the_server_wants_one_and_is_kept_nowhere(
    chromium: Chromium, locked: int, photo: Path
) -> None:
    chromium.open(f"http://127.0.0.1:{locked}/")
    chromium.choose("#file", photo)
    chromium.wait(f"{STATE} === 'failed'")
    assert text(chromium, "#problem-detail") == "This server wants a key."
    assert visible(chromium, "#key-form")
    assert chromium.run("document.activeElement.id") == "key"
    chromium.send("Input.insertText", text=KEY)
    chromium.run("document.querySelector('#key-form').requestSubmit()")
    assert_red(chromium)
    chromium.wait("document.querySelector('#facts').children.length > 0")
    assert chromium.run("localStorage.length + sessionStorage.length + document.cookie.length") == 0
