"""`POST /api/v1/classify`: from a request to an answer, with every bound on the way."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from starlette.responses import Response

from imageclassifier_runtime.admission import Lease
from imageclassifier_runtime.budget import BODY_OVERHEAD
from imageclassifier_runtime.errors import (
    ParameterError,
    RequestError,
    UnavailableError,
    UnsupportedTypeError,
)
from imageclassifier_runtime.pipeline import WORKSPACE, Outcome
from imageclassifier_runtime.stages import containers
from imageclassifier_runtime.web import multipart, problems
from imageclassifier_runtime.web.body import BodyReader, declared_length, too_many_bytes

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from imageclassifier_runtime.web.state import ServerState

DEFAULT_TOP_K, MAX_TOP_K = 5, 10
_MULTIPART = "multipart/form-data"
_RAW = "application/octet-stream"
_FORM_OVERHEAD = 64 * 1024
_WORK_SECONDS = 30.0
_DISCARD_SECONDS = 10.0
_DISCARD_BYTES = 64 * 1024 * 1024


class Classify:
    """The endpoint; one instance per server."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        info = state.classifier.model.info
        self._model = {"name": info.name, "sha256": info.sha256}

    async def __call__(self, request: Request) -> Response:
        """Answer one request; every way it can fail is a problem-details answer."""
        reader = BodyReader(request.receive)
        lease = Lease()
        try:
            return await self._answer(request, reader, lease)
        except RequestError as error:
            self._state.metrics.rejected.labels(error.reason).inc()
            response = problems.of_error(error)
            # A client that waits for leave to send its body has sent none.
            waits = not reader.started and request.headers.get("expect", "").lower() == "100-continue"
            return response if reader.complete or waits else EarlyResponse(response, reader)
        finally:
            if not lease.handed_over:
                lease.release()

    async def _answer(self, request: Request, reader: BodyReader, lease: Lease) -> Response:
        started = time.perf_counter()
        settings, admission = self._state.settings, self._state.admission
        if self._state.lifecycle.stopping:
            raise UnavailableError(
                "This server is shutting down. Try again: another one will answer.", reason="draining"
            )
        content_type = request.headers.get("content-type", "")
        boundary = boundary_of(content_type)
        count = top_k(request.query_params.get("top_k"))
        limit = self._body_limit(form=boundary is not None)
        length = declared_length(dict(request.scope["headers"]))
        if length is not None and length > limit:
            raise too_many_bytes(settings.max_image_bytes)
        await admission.admit_body(lease, (limit if length is None else length) + BODY_OVERHEAD - _FORM_OVERHEAD)
        body = await reader.read(
            limit=limit, seconds=settings.body_timeout_seconds, idle_seconds=settings.body_idle_seconds
        )
        received = time.perf_counter()
        if boundary is not None:
            count = _unwrap(body, boundary, count)
        if len(body) > settings.max_image_bytes:
            raise too_many_bytes(settings.max_image_bytes)
        container = containers.read(body)
        containers.check_limits(container, max_pixels=settings.max_image_pixels, max_side=settings.max_image_side)
        classifier = self._state.classifier
        outcome = await admission.run(
            lease,
            peak=container.peak + min(WORKSPACE, 16 * container.pixels),
            work=lambda: classifier.classify(container, count),
            limit=_WORK_SECONDS,
        )
        return self._response(outcome, started, received)

    def _body_limit(self, *, form: bool) -> int:
        return self._state.settings.max_image_bytes + (_FORM_OVERHEAD if form else 0)

    def _response(self, outcome: Outcome, started: float, received: float) -> Response:
        now = time.perf_counter()
        seconds = {"receive": received - started, **outcome.seconds}
        seconds["queue"] = max(0.0, now - started - sum(seconds.values()))
        for stage, value in seconds.items():
            self._state.metrics.stages.labels(stage).observe(value)
        timings = {stage: round(1000 * value, 3) for stage, value in seconds.items()}
        timings["total"] = round(1000 * (now - started), 3)
        content = {
            "predictions": [prediction._asdict() for prediction in outcome.predictions],
            "model": self._model,
            "timings_ms": timings,
        }
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        return Response(body, media_type="application/json")


class EarlyResponse(Response):
    """An answer given before the request's body was read.

    The whole answer is sent at once, then the rest of the body is read and forgotten: a connection closed with
    unread data in it is reset, and many clients then never see the answer. The connection ends after it.
    """

    def __init__(self, response: Response, reader: BodyReader) -> None:
        super().__init__(response.body, response.status_code, dict(response.headers), response.media_type)
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, then discard the body within bounds."""
        headers = [*self.raw_headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await self._reader.discard(limit=_DISCARD_BYTES, seconds=_DISCARD_SECONDS)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def boundary_of(content_type: str) -> bytes | None:
    """Return the boundary of a form, or None for a raw image; raises UnsupportedTypeError for other types."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == _MULTIPART:
        return multipart.boundary_of(content_type)
    if kind.startswith("image/") or kind == _RAW:
        return None
    raise UnsupportedTypeError(
        f"Content-Type {kind[:80] or '(none)'!r} is not taken: send the image as the body with Content-Type "
        f"image/* or {_RAW}, or as the field `file` of a {_MULTIPART} form."
    )


def top_k(text: str | None) -> int:
    """Return how many classes are wanted; raises ParameterError."""
    if text is None:
        return DEFAULT_TOP_K
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_TOP_K):
        raise ParameterError(f"top_k must be a whole number from 1 to {MAX_TOP_K}, not {text[:40]!r}.")
    return int(text)


def _unwrap(body: bytearray, boundary: bytes, count: int) -> int:
    """Cut a form down to its file, in place, and return the top_k that the form asks for."""
    form = multipart.parse(body, boundary)
    start, end = form.file
    del body[end:]
    del body[:start]
    return top_k(form.fields["top_k"]) if "top_k" in form.fields else count
