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


def json_response(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a response of type `application/json`."""
    return Response(encoded(content), status, headers=headers, media_type=MEDIA_TYPE)


def status_response(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Return the response for an HTTP status and a detail."""
    return json_response({"error": detail}, status, headers)


def error_response(error: RequestError) -> Response:
    """Return the response for a RequestError."""
    return status_response(error.status, error.detail, error.headers)


ERROR_OBJECT = ErrorFormat(media_type=MEDIA_TYPE, error_response=error_response, status_response=status_response)
