"""JSON responses, and errors in the format of protocols v1 and v2: `{"error": …}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from imageclassifier_runtime.request.problems import ErrorFormat, encoded

if TYPE_CHECKING:
    from imageclassifier_runtime.errors import RequestError

MEDIA_TYPE = "application/json"


class Json(Response):
    """A JSON response with status 200, without the overhead of Starlette's constructor."""

    def __init__(self, body: bytes) -> None:
        self.status_code = 200
        self.background = None
        self.body = body
        self.raw_headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]


def json_answer(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a response of type `application/json`."""
    return Response(encoded(content), status, headers=headers, media_type=MEDIA_TYPE)


def of_status(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Return the response for an HTTP status without a typed error."""
    return json_answer({"error": detail}, status, headers)


def of_error(error: RequestError) -> Response:
    """Return the response for a typed error."""
    return of_status(error.status, error.detail, error.headers)


ERROR_OBJECT = ErrorFormat(media_type=MEDIA_TYPE, of_error=of_error, of_status=of_status)
