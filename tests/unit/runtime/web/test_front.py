"""`/` is the page for a browser and a liveness answer for every other client."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.web.front import wants_html

if TYPE_CHECKING:
    from tests.unit.runtime.support import Running

CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)


@pytest.mark.parametrize(
    "accept",
    [
        CHROME,
        "text/html",
        "TEXT/HTML; charset=utf-8",
        "application/xhtml+xml, */*;q=0.1",
        "application/json;q=0.5, text/html",
    ],
)
def test_clients_that_ask_for_html_get_the_page(accept: str) -> None:
    assert wants_html(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/json",
        "application/json, text/plain, */*",
        "text/html, application/json",
        "text/html;q=0.2, application/*;q=0.3",
        "text/html;q=0",
        "text/html;q=many",
        "text/*",
        ";;,,;q=1",
    ],
)
def test_other_clients_do_not_get_the_page(accept: str) -> None:
    assert not wants_html(accept)


async def test_the_response_depends_on_accept_and_sets_vary(server: Running) -> None:
    alive = await server.client.get("/")
    assert alive.json() == {"status": "alive"}
    page = await server.client.get("/", headers={"Accept": CHROME})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert alive.headers["vary"] == page.headers["vary"] == "Accept"


async def test_the_policy_allows_exactly_the_style_and_the_script_that_the_page_has(server: Running) -> None:
    page = await server.client.get("/", headers={"Accept": "text/html"})
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    for element, directive in (("style", "style-src"), ("script", "script-src")):
        (inline,) = re.findall(rf"<{element}>(.*?)</{element}>", page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert "unsafe" not in page.headers["content-security-policy"]


async def test_the_page_has_no_handler_or_style_in_an_attribute_and_no_address_of_another_host(
    server: Running,
) -> None:
    page = (await server.client.get("/", headers={"Accept": "text/html"})).text
    markup = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    assert not re.search(r"\s(on\w+|style)=", markup)
    assert not re.search(r"https?://|(?:src|href)=\"//", page)
    assert len(page) < 32 * 1024


async def test_the_page_lists_the_servers_formats_and_has_no_placeholder_left(server: Running) -> None:
    page = (await server.client.get("/", headers={"Accept": "text/html"})).text
    assert 'accept="image/jpeg,image/png,image/webp,image/bmp,image/gif"' in page
    assert ">JPEG, PNG, WebP, BMP or GIF<" in page
    assert not re.search(r"\{\{|/\*[A-Z]+\*/", page)
