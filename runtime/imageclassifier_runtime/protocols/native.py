"""The native API: `POST /api/v1/classify` and `/classify/batch`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from starlette.requests import Request  # noqa: TC002 - FastAPI reads the endpoints' annotations

from imageclassifier_runtime.errors import RequestError, UnavailableError, UnsupportedTypeError
from imageclassifier_runtime.protocols import multipart
from imageclassifier_runtime.protocols.request_context import MAX_ITEMS, Image, RequestContext, handle
from imageclassifier_runtime.request import problems
from imageclassifier_runtime.request.parameters import header, parse_top_k, query_value
from imageclassifier_runtime.request.paths import NATIVE
from imageclassifier_runtime.request.responses import Json

if TYPE_CHECKING:
    from starlette.responses import Response

    from imageclassifier_runtime.inference.pipeline import Outcome
    from imageclassifier_runtime.protocols.state import ServerState

_MULTIPART = "multipart/form-data"
_RAW = "application/octet-stream"
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_FORM_OVERHEAD = 64 * 1024


class Classify:
    """The endpoints; one instance per server."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        info = state.classifier.model.info
        self._model = {"name": info.name, "sha256": info.sha256}

    async def one(self, request: Request) -> Response:
        """Classify one image; every error is a problem-details response."""
        return await handle(self._state, request, self._one, NATIVE)

    async def batch(self, request: Request) -> Response:
        """Classify the images of a form; each gets a result or a problem."""
        return await handle(self._state, request, self._batch, NATIVE)

    async def _one(self, context: RequestContext) -> Response:
        scope = context.request.scope
        boundary = boundary_of(header(scope, b"content-type"))
        top_k = parse_top_k(query_value(scope, "top_k"))
        max_bytes = self._state.settings.max_image_bytes
        limit = max_bytes + (_FORM_OVERHEAD if boundary is not None else 0)
        body = await context.read(limit=limit, stated_limit=max_bytes)
        if boundary is not None:
            top_k = _extract_file(body, boundary, top_k)
        outcome = await context.process_item(Image(body), top_k)
        content = {
            "predictions": _predictions(outcome),
            "model": self._model,
            "timings_ms": _timings({"receive": context.receive_seconds, **outcome.seconds}, context),
        }
        return _json_response(content)

    async def _batch(self, context: RequestContext) -> Response:
        scope = context.request.scope
        content_type = header(scope, b"content-type")
        if _kind(content_type) != _MULTIPART:
            raise UnsupportedTypeError(
                f"Content-Type {_kind(content_type)[:80] or '(none)'!r} is not supported: send the images as "
                f"fields `file` of a {_MULTIPART} form."
            )
        boundary = multipart.boundary_of(content_type)
        top_k = parse_top_k(query_value(scope, "top_k"))
        body = await context.read_batch()
        form = multipart.parse(body, boundary, MAX_ITEMS)
        if "top_k" in form.fields:
            top_k = parse_top_k(form.fields["top_k"])
        results = await context.process_each(_extract_files(body, form.files), top_k)
        if all(isinstance(result, UnavailableError) for result in results):
            first = results[0]
            assert isinstance(first, UnavailableError)
            raise UnavailableError(first.detail, reason=first.reason)
        for result in results:
            if isinstance(result, RequestError):
                self._state.metrics.rejected.labels(result.reason).inc()
        content = {
            "results": [_result(result) for result in results],
            "model": self._model,
            "timings_ms": _timings({"receive": context.receive_seconds}, context),
        }
        return _json_response(content)


def boundary_of(content_type: str) -> bytes | None:
    """Return the boundary of a form, or None for a raw image; raises UnsupportedTypeError for other types."""
    kind = _kind(content_type)
    if kind == _MULTIPART:
        return multipart.boundary_of(content_type)
    if kind.startswith("image/") or kind == _RAW:
        return None
    raise UnsupportedTypeError(
        f"Content-Type {kind[:80] or '(none)'!r} is not supported: send the image as the body with Content-Type "
        f"image/* or {_RAW}, or as the field `file` of a {_MULTIPART} form."
    )


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _extract_file(body: bytearray, boundary: bytes, top_k: int) -> int:
    """Reduce a form to its file, in place, and return the form's top_k."""
    form = multipart.parse(body, boundary)
    start, end = form.files[0]
    del body[end:]
    del body[:start]
    return parse_top_k(form.fields["top_k"]) if "top_k" in form.fields else top_k


def _extract_files(body: bytearray, files: list[tuple[int, int]]) -> list[Image]:
    """Extract the files of a form, last one first, so that the form shrinks as they are copied."""
    images = []
    for start, end in reversed(files):
        images.append(Image(bytes(body[start:end])))
        del body[start:]
    return images[::-1]


def _predictions(outcome: Outcome) -> list[dict[str, Any]]:
    return [prediction._asdict() for prediction in outcome.predictions]


def _result(result: Outcome | RequestError) -> dict[str, Any]:
    if isinstance(result, RequestError):
        return {"problem": problems.content_of(result)}
    return {"predictions": _predictions(result), "timings_ms": _milliseconds(result.seconds)}


def _timings(seconds: dict[str, float], context: RequestContext) -> dict[str, float]:
    return _milliseconds({**seconds, "total": time.perf_counter() - context.started})


def _milliseconds(seconds: dict[str, float]) -> dict[str, float]:
    return {stage: round(1000 * value, 3) for stage, value in seconds.items()}


def _json_response(content: dict[str, Any]) -> Response:
    return Json(_encode(content).encode(errors="backslashreplace"))
