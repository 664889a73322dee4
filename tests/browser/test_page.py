"""The page at `/` in a real browser: photographs in by every way, classes and timings out, nothing else loaded."""

from __future__ import annotations

import base64
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
from playwright.sync_api import expect

from tests.unit.runtime.process import Served
from tests.unit.runtime.support import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page, ViewportSize
    from starlette.types import ASGIApp, Receive, Scope, Send

KEY = "the-key-of-this-test"


@pytest.fixture
def page(tab: Callable[..., Page], served: Served) -> Page:
    return opened(tab(), served.port)


def opened(page: Page, port: int) -> Page:
    page.goto(f"http://127.0.0.1:{port}/")
    return page


def choose(page: Page, file: Path) -> None:
    page.set_input_files("#file", file)


def text(page: Page, selector: str) -> str:
    return page.locator(selector).inner_text()


def visible(page: Page, selector: str) -> bool:
    return page.locator(selector).is_visible()


def expect_state(page: Page, state: str) -> None:
    expect(page.locator("#main")).to_have_attribute("data-state", state)


def wait(page: Page, script: str) -> None:
    """Wait until a JavaScript expression is true.

    It goes to the browser as a function: that is compiled once, by the debugger, which the page's policy allows.
    """
    page.wait_for_function(f"() => {script}")


def files(photo: Path) -> str:
    """Return JavaScript that makes a DataTransfer with the photograph in it, as a drop or a paste has."""
    data = base64.b64encode(photo.read_bytes()).decode()
    return (
        f"const bytes = Uint8Array.from(atob('{data}'), (letter) => letter.charCodeAt(0));"
        "const carried = new DataTransfer();"
        f"carried.items.add(new File([bytes], '{photo.name}', {{type: 'image/png'}}));"
    )


def assert_red(page: Page) -> None:
    expect_state(page, "done")
    names = page.locator("#classes .name").all_text_contents()
    assert names[0] == "red"
    assert sorted(names) == sorted(LABELS)


def test_a_chosen_photograph_shows_its_classes_as_bars_and_the_time_of_each_stage(page: Page, photo: Path) -> None:
    expect_state(page, "empty")
    choose(page, photo)
    assert_red(page)
    shares = [float(share.rstrip(" %")) for share in page.locator("#classes .share").all_text_contents()]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.3)
    wait(
        page,
        "[...document.querySelectorAll('#classes li')].every((item) => { const bar = item.querySelector('.bar'); "
        "const part = 100 * bar.firstChild.offsetWidth / bar.offsetWidth; "
        "return Math.abs(part - parseFloat(item.querySelector('.share').textContent)) < 1; })",
    )
    stages = page.locator("#timings dt").all_text_contents()
    assert stages[:-2] == ["Receive", "Queue", "Decode", "Preprocess", "Inference", "Postprocess"]
    assert text(page, "#timings dd >> nth=0").endswith(" ms")
    assert page.locator("#preview").evaluate("preview => preview.naturalWidth") == 400
    assert text(page, "#status").startswith("red, ")


def test_a_photograph_can_be_dropped_anywhere_and_pasted(page: Page, photo: Path) -> None:
    for event in (
        "new DragEvent('drop', {dataTransfer: carried",
        "new ClipboardEvent('paste', {clipboardData: carried",
    ):
        page.reload()
        expect_state(page, "empty")
        dispatch = f"document.body.dispatchEvent({event}, bubbles: true, cancelable: true}}))"
        page.evaluate(f"() => {{ {files(photo)} {dispatch} }}")
        assert_red(page)


def test_what_is_not_a_picture_shows_the_servers_own_words_and_the_next_photograph_clears_them(
    page: Page, photo: Path, tmp_path: Path
) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("nothing to see")
    choose(page, other)
    expect_state(page, "failed")
    assert text(page, "#problem-title") == "Not a type that this server takes"
    assert text(page, "#problem-detail") == "These bytes are no JPEG, PNG, WebP, BMP or GIF image."
    assert text(page, "#problem-facts").startswith("Status 415 · request ")
    assert not visible(page, "#result")
    assert not visible(page, "#key-form")
    choose(page, photo)
    assert_red(page)
    assert not visible(page, "#problem")


def test_the_foot_names_the_model_its_precision_and_its_digest(page: Page, model_path: Path) -> None:
    info = model_folder.load(model_path).info
    expect(page.locator("#facts > *")).not_to_have_count(0)
    facts = text(page, "#facts").split()
    assert {info.name, info.precision, info.sha256} <= set(facts)


def test_the_keyboard_reaches_the_photograph_and_its_focus_is_seen(page: Page) -> None:
    def focused() -> str:
        name: str = page.evaluate("document.activeElement.id || document.activeElement.localName")
        return name

    page.bring_to_front()
    page.keyboard.press("Tab")
    assert focused() == "a"
    page.keyboard.press("Tab")
    assert focused() == "file"
    expect(page.locator("#drop")).to_have_css("outline-style", "solid")
    page.keyboard.press("Tab")
    assert focused() != "shot"  # there is no camera button where there is no touch screen


def test_nothing_comes_from_elsewhere_and_the_policy_has_nothing_to_refuse(
    tab: Callable[..., Page], served: Served, photo: Path
) -> None:
    page, asked, said = tab(), list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    opened(page, served.port)
    choose(page, photo)
    assert_red(page)
    assert any("/api/v1/classify" in url for url in asked)
    own = (f"http://127.0.0.1:{served.port}/", "blob:", "data:")
    assert [url for url in asked if not url.startswith(own)] == []
    assert said == []


def test_the_policy_refuses_what_the_page_does_not_have(page: Page) -> None:
    with page.expect_console_message(lambda message: "img-src" in message.text):
        page.locator("body").evaluate("body => { body.appendChild(document.createElement('img')).src = 'docs' }")
    with page.expect_console_message(lambda message: "style-src" in message.text):
        page.locator("main").evaluate("main => main.setAttribute('style', 'color: red')")
    expect(page.locator("main")).not_to_have_css("color", "rgb(255, 0, 0)")


@pytest.mark.parametrize("width", [320, 390, 768, 1440])
def test_no_width_needs_to_be_scrolled_sideways(
    tab: Callable[..., Page], served: Served, photo: Path, width: int
) -> None:
    telephone = width < 700
    size: ViewportSize = {"width": width, "height": 800}
    page = opened(tab(viewport=size, is_mobile=telephone, has_touch=telephone), served.port)
    choose(page, photo)
    assert_red(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert visible(page, "#camera") == telephone


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
    tab: Callable[..., Page], served: Served, photo: Path, tmp_path: Path, theme: str
) -> None:
    page = opened(tab(color_scheme=theme), served.port)
    other = tmp_path / "notes.txt"
    other.write_text("nothing to see")
    seen = {}
    for file, state in ((photo, "done"), (other, "failed")):
        choose(page, file)
        expect_state(page, state)
        wait(page, "document.getAnimations().length === 0")
        seen.update(dict(page.evaluate(_CONTRAST)))
    assert len(seen) > 15
    assert {words: ratio for words, ratio in seen.items() if ratio < 4.5} == {}


def test_a_server_that_is_gone_is_said_and_asked_again_on_demand(
    tab: Callable[..., Page], model_path: Path, photo: Path
) -> None:
    server = Served(MODEL_DIR=model_path)
    try:
        page = opened(tab(), server.port)
    finally:
        server.kill()
    choose(page, photo)
    expect_state(page, "failed")
    assert text(page, "#problem-title") == "The server cannot be reached"
    again = Served(MODEL_DIR=model_path, PORT=server.port)
    try:
        page.click("#again")
        assert_red(page)
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
    tab: Callable[..., Page], locked: int, photo: Path
) -> None:
    page = opened(tab(), locked)
    choose(page, photo)
    expect_state(page, "failed")
    assert text(page, "#problem-detail") == "This server wants a key."
    assert visible(page, "#key-form")
    expect(page.locator("#key")).to_be_focused()
    page.keyboard.insert_text(KEY)
    page.keyboard.press("Enter")
    assert_red(page)
    expect(page.locator("#facts > *")).not_to_have_count(0)
    assert page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0
