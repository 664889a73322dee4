"""The page at `/` in a real browser: every way to select a photograph, the results, and no external resources."""

from __future__ import annotations

import base64
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from imageclassifier_runtime import serve
from imageclassifier_runtime.model import folder as model_folder
from imageclassifier_runtime.request.problems import status_response
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

KEY = "a-valid-key"


@pytest.fixture
def page(tab: Callable[..., Page], server: Served) -> Page:
    return open_page(tab(), server.port)


def open_page(page: Page, port: int) -> Page:
    page.goto(f"http://127.0.0.1:{port}/")
    return page


def select(page: Page, file: Path) -> None:
    page.set_input_files("#file", file)


def text(page: Page, selector: str) -> str:
    return page.locator(selector).inner_text()


def visible(page: Page, selector: str) -> bool:
    return page.locator(selector).is_visible()


def expect_state(page: Page, state: str) -> None:
    expect(page.locator("#main")).to_have_attribute("data-state", state)


def wait(page: Page, script: str) -> None:
    """Wait until a JavaScript expression is true.

    The expression is passed as a function, because the page's Content-Security-Policy does not allow `eval`.
    """
    page.wait_for_function(f"() => {script}")


def data_transfer(photo: Path) -> str:
    """Return JavaScript that creates a DataTransfer with the photograph, as a drop or a paste does."""
    data = base64.b64encode(photo.read_bytes()).decode()
    return (
        f"const bytes = Uint8Array.from(atob('{data}'), (letter) => letter.charCodeAt(0));"
        "const transfer = new DataTransfer();"
        f"transfer.items.add(new File([bytes], '{photo.name}', {{type: 'image/png'}}));"
    )


def assert_red(page: Page) -> None:
    expect_state(page, "done")
    names = page.locator("#classes .name").all_text_contents()
    assert names[0] == "red"
    assert sorted(names) == sorted(LABELS)


def test_a_selected_photograph_shows_its_classes_as_bars_and_the_time_of_each_stage(
    page: Page, photo: Path
) -> None:
    expect_state(page, "empty")
    select(page, photo)
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
        "new DragEvent('drop', {dataTransfer: transfer",
        "new ClipboardEvent('paste', {clipboardData: transfer",
    ):
        page.reload()
        expect_state(page, "empty")
        dispatch = f"document.body.dispatchEvent({event}, bubbles: true, cancelable: true}}))"
        page.evaluate(f"() => {{ {data_transfer(photo)} {dispatch} }}")
        assert_red(page)


def test_a_file_that_is_not_an_image_shows_the_servers_error_until_the_next_photograph(
    page: Page, photo: Path, tmp_path: Path
) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("nothing to see")
    select(page, other)
    expect_state(page, "failed")
    assert text(page, "#problem-title") == "Not a type that this server takes"
    assert text(page, "#problem-detail") == "The file is not a JPEG, PNG, WebP, BMP or GIF image."
    assert text(page, "#problem-facts").startswith("Status 415 · request ")
    assert not visible(page, "#result")
    assert not visible(page, "#key-form")
    select(page, photo)
    assert_red(page)
    assert not visible(page, "#problem")


def test_the_footer_shows_the_model_its_precision_and_its_digest(page: Page, model_path: Path) -> None:
    info = model_folder.load(model_path).info
    expect(page.locator("#facts > *")).not_to_have_count(0)
    facts = text(page, "#facts").split()
    assert {info.name, info.precision, info.sha256} <= set(facts)


def test_the_file_field_is_reachable_by_keyboard_and_shows_its_focus(page: Page) -> None:
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
    assert focused() != "shot"  # without a touch screen there is no camera button


def test_the_page_loads_no_external_resources_and_does_not_violate_its_policy(
    tab: Callable[..., Page], server: Served, photo: Path
) -> None:
    page, urls, messages = tab(), list[str](), list[str]()
    page.on("request", lambda request: urls.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    open_page(page, server.port)
    select(page, photo)
    assert_red(page)
    assert any("/api/v1/classify" in url for url in urls)
    allowed = (f"http://127.0.0.1:{server.port}/", "blob:", "data:")
    assert [url for url in urls if not url.startswith(allowed)] == []
    assert messages == []


def test_the_policy_blocks_added_images_and_styles(page: Page) -> None:
    with page.expect_console_message(lambda message: "img-src" in message.text):
        page.locator("body").evaluate("body => { body.appendChild(document.createElement('img')).src = 'docs' }")
    with page.expect_console_message(lambda message: "style-src" in message.text):
        page.locator("main").evaluate("main => main.setAttribute('style', 'color: red')")
    expect(page.locator("main")).not_to_have_css("color", "rgb(255, 0, 0)")


@pytest.mark.parametrize("width", [320, 390, 768, 1440])
def test_the_page_fits_every_width_without_horizontal_scrolling(
    tab: Callable[..., Page], server: Served, photo: Path, width: int
) -> None:
    phone = width < 700
    size: ViewportSize = {"width": width, "height": 800}
    page = open_page(tab(viewport=size, is_mobile=phone, has_touch=phone), server.port)
    select(page, photo)
    assert_red(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert visible(page, "#camera") == phone


_CONTRAST = """(() => {
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (!/^rgba\\(.*, 0\\)$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("body *")]
    .filter((one) => one.checkVisibility() && [...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .map((one) => {
      const pair = [luminance(getComputedStyle(one).color), luminance(background(one))].sort((a, b) => b - a);
      return [one.textContent.trim(), (pair[0] + 0.05) / (pair[1] + 0.05)];
    });
})()"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_has_the_contrast_that_wcag_requires(
    tab: Callable[..., Page], server: Served, photo: Path, tmp_path: Path, theme: str
) -> None:
    page = open_page(tab(color_scheme=theme), server.port)
    other = tmp_path / "notes.txt"
    other.write_text("nothing to see")
    ratios = {}
    for file, state in ((photo, "done"), (other, "failed")):
        select(page, file)
        expect_state(page, state)
        wait(page, "document.getAnimations().length === 0")
        ratios.update(dict(page.evaluate(_CONTRAST)))
    assert len(ratios) > 15
    assert {text: ratio for text, ratio in ratios.items() if ratio < 4.5} == {}


def test_an_unreachable_server_is_reported_and_retried_on_demand(
    tab: Callable[..., Page], model_path: Path, photo: Path
) -> None:
    stopped = Served(MODEL_DIR=model_path)
    try:
        page = open_page(tab(), stopped.port)
    finally:
        stopped.kill()
    select(page, photo)
    expect_state(page, "failed")
    assert text(page, "#problem-title") == "The server cannot be reached"
    restarted = Served(MODEL_DIR=model_path, PORT=stopped.port)
    try:
        page.click("#again")
        assert_red(page)
    finally:
        restarted.kill()


class RequireKey:
    """The real application behind a check that requires an API key for everything but the page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope.get("headers") or [])
        if (
            scope["type"] == "http"
            and scope["path"] != "/"
            and headers.get(b"authorization") != f"Bearer {KEY}".encode()
        ):
            response: Any = status_response(401, "An API key is required.", headers={"WWW-Authenticate": "Bearer"})
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)


@pytest.fixture
def port_with_key(model_path: Path) -> Iterator[int]:
    settings = ServeSettings(model_dir=model_path, memory_limit_bytes=1 << 30)
    state, workers = serve.build(settings, model_folder.load(model_path), threads=1)
    state.lifecycle.ready = True
    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(RequireKey(create_app(state)), log_config=None, lifespan="off", ws="none")
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    yield sock.getsockname()[1]
    server.should_exit = True
    thread.join()
    workers.shutdown()
    sock.close()


def test_a_required_key_is_asked_for_and_not_stored(
    tab: Callable[..., Page], port_with_key: int, photo: Path
) -> None:
    page = open_page(tab(), port_with_key)
    select(page, photo)
    expect_state(page, "failed")
    assert text(page, "#problem-detail") == "An API key is required."
    assert visible(page, "#key-form")
    expect(page.locator("#key")).to_be_focused()
    page.keyboard.insert_text(KEY)
    page.keyboard.press("Enter")
    assert_red(page)
    expect(page.locator("#facts > *")).not_to_have_count(0)
    assert page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0
