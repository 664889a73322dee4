"""The type of an error format, and errors as RFC 9457 problem details, for every route and every status."""

from __future__ import annotations

import dataclasses
import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from imageclassifier_runtime.errors import RequestError

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:imageclassifier:problem:"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ErrorFormat:
    """How a protocol writes errors, as `media_type`: a RequestError, or a status and a detail."""

    media_type: str
    error_response: Callable[[RequestError], Response]
    status_response: Callable[[int, str, dict[str, str] | None], Response]


def encoded(content: object) -> bytes:
    """Return JSON in UTF-8. A lone surrogate, which UTF-8 cannot encode, is written as a JSON escape."""
    return json.dumps(content, ensure_ascii=False).encode(errors="backslashreplace")


def status_response(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Return the response for an HTTP status and a detail (`about:blank`)."""
    return Response(encoded(_content(status, detail=detail)), status, headers=headers, media_type=MEDIA_TYPE)


def content_of(error: RequestError) -> dict[str, object]:
    """Return the problem details of a RequestError."""
    return _content(error.status, detail=error.detail, slug=error.slug, title=error.title, reason=error.reason)


def error_response(error: RequestError) -> Response:
    """Return the response for a RequestError."""
    return Response(encoded(content_of(error)), error.status, headers=error.headers, media_type=MEDIA_TYPE)


PROBLEM_DETAILS = ErrorFormat(
    media_type=MEDIA_TYPE, error_response=error_response, status_response=status_response
)


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
