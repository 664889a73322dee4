"""Answers in JSON, and errors as the protocols v1 and v2 have them: `{"error": …}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from imageclassifier_runtime.request.problems import encoded

if TYPE_CHECKING:
    from imageclassifier_runtime.errors import RequestError

MEDIA_TYPE = "application/json"


class Json(Response):
    """A complete answer of type `application/json`, with the headers that it needs and no more work than that."""

    def __init__(self, body: bytes) -> None:
        self.status_code = 200
        self.background = None
        self.body = body
        self.raw_headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]


def json_answer(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return an answer of type `application/json`."""
    return Response(encoded(content), status, headers=headers, media_type=MEDIA_TYPE)


def of_status(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Return the answer to a request that failed with a status."""
    return json_answer({"error": detail}, status, headers)


def of_error(error: RequestError) -> Response:
    """Return the answer to a request that failed with a typed error."""
    return of_status(error.status, error.detail, error.headers)
