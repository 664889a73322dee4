"""Errors as RFC 9457 problem details, for every route and every status."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from imageclassifier_runtime.errors import RequestError

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:imageclassifier:problem:"


def encoded(content: object) -> bytes:
    """Return JSON. Half a surrogate pair, which JSON can say and UTF-8 cannot, is said as JSON says it."""
    return json.dumps(content, ensure_ascii=False).encode(errors="backslashreplace")


def of_status(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Return the answer to a request that failed with a status; its problem has no type of its own."""
    return Response(encoded(_content(status, detail=detail)), status, headers=headers, media_type=MEDIA_TYPE)


def content_of(error: RequestError) -> dict[str, object]:
    """Return the problem details of a typed error."""
    return _content(error.status, detail=error.detail, slug=error.slug, title=error.title, reason=error.reason)


def of_error(error: RequestError) -> Response:
    """Return the answer to a request that failed with a typed error."""
    return Response(encoded(content_of(error)), error.status, headers=error.headers, media_type=MEDIA_TYPE)


def _content(
    status: int, *, detail: str, slug: str | None = None, title: str | None = None, reason: str | None = None
) -> dict[str, object]:
    content: dict[str, object] = {
        "type": _TYPE + slug if slug else "about:blank",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if reason:
        content["reason"] = reason
    return content
