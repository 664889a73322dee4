"""Answers in JSON, and errors as the protocols v1 and v2 have them: `{"error": …}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from imageclassifier_runtime.request.paths import V1, V2, protocol_of
from imageclassifier_runtime.request.problems import encoded, problem

if TYPE_CHECKING:
    from imageclassifier_runtime.errors import RequestError


class Json(Response):
    """A complete answer of type `application/json`, with the headers that it needs and no more work than that."""

    def __init__(self, body: bytes) -> None:
        self.status_code = 200
        self.background = None
        self.body = body
        self.raw_headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]


def json_answer(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return an answer of type `application/json`."""
    return Response(encoded(content), status, headers=headers, media_type="application/json")


def error_answer(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """Return the answer to a request that failed."""
    return json_answer({"error": message}, status, headers)


def failure(path: str, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Return a failed request's answer in the form of the protocol that its path belongs to."""
    if protocol_of(path) in {V1, V2}:
        return error_answer(status, detail, headers)
    return problem(status, detail=detail, headers=headers)


def of_error(error: RequestError) -> Response:
    """Return the answer to a request that failed with a typed error."""
    return error_answer(error.status, error.detail, error.headers)
