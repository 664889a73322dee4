"""`/`: the page for uploading a photograph in a browser; a liveness response for every other client.

KServe's client of protocol v1 uses `GET /` for liveness, so only clients that ask for HTML get the page.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from starlette.requests import Request  # noqa: TC002 - FastAPI reads the endpoints' annotations
from starlette.responses import Response

from imageclassifier_runtime.inference.image_headers.formats import MEDIA_TYPES, NAMES
from imageclassifier_runtime.request.responses import json_response

_VARY = {"Vary": "Accept"}
_HTML, _JSON = ("text/html", "application/xhtml+xml"), ("application/json", "application/*")


class Front:
    """The endpoint; the page is assembled once, at start."""

    def __init__(self) -> None:
        style, script = _text("page.css"), _text("page.js")
        page = _text("page.html")
        for mark, text in (
            ("/*STYLE*/", style),
            ("/*SCRIPT*/", script),
            ("{{media types}}", ",".join(MEDIA_TYPES)),
            ("{{formats}}", NAMES),
        ):
            page = page.replace(mark, text)
        self._page = page.encode()
        self._headers = {**_VARY, **_security(style, script), "Cache-Control": "no-cache"}

    async def root(self, request: Request) -> Response:
        """Return the page or the liveness response."""
        if wants_html(",".join(request.headers.getlist("accept"))):
            return Response(self._page, headers=self._headers, media_type="text/html")
        return json_response({"status": "alive"}, headers=_VARY)


def wants_html(accept: str) -> bool:
    """Return whether an `Accept` header prefers HTML to JSON (RFC 9110, section 12.5.1).

    `*/*`, which nearly every program sends, does not count.
    """
    quality: dict[str, float] = {}
    for part in accept.split(",")[:64]:
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        quality[kind] = max(quality.get(kind, 0.0), _quality(parameters))
    html, plain = (max(quality.get(kind, 0.0) for kind in kinds) for kinds in (_HTML, _JSON))
    return html > plain


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


def _security(style: str, script: str) -> dict[str, str]:
    """Return headers that allow only this style and this script, and requests only to this server."""
    policy = {
        "default-src": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
        "img-src": "blob: data:",
        "connect-src": "'self'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
    }


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")
