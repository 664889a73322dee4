"""Download one file of a model: bounded in size and time, tried again where that may help, hashed on the way."""

from __future__ import annotations

import hashlib
import logging
import random
import time
from typing import TYPE_CHECKING, BinaryIO

from imageclassifier_runtime.errors import TOO_LARGE, UNREACHABLE, ModelError
from imageclassifier_runtime.fetch import transport
from imageclassifier_runtime.fetch.transport import TransientError
from imageclassifier_runtime.logs import log, warn

if TYPE_CHECKING:
    import http.client
    from pathlib import Path

    from imageclassifier_runtime.settings import FetchSettings

_CHUNK = 256 * 1024
_PROGRESS_SECONDS = 2.0
_logger = logging.getLogger(__name__)


def download(uri: str, path: Path, settings: FetchSettings, *, limit: int, deadline: float) -> str:
    """Fetch `uri` into `path` and return the sha256 of what came; raises ModelError.

    `limit` is in bytes, `deadline` in `time.monotonic()` seconds. `path` is only ever a temporary name.
    """
    target = transport.parse(uri)
    for attempt in range(1, settings.attempts + 1):
        try:
            return _once(target, path, settings, limit=limit, deadline=deadline)
        except TransientError as error:
            pause = random.uniform(0.5, 1.0) * min(8.0, 0.5 * 2**attempt)  # noqa: S311 - jitter, no secret
            if attempt == settings.attempts or time.monotonic() + pause >= deadline:
                raise ModelError(UNREACHABLE, f"{error.message} (after {attempt} attempts)") from error
            warn(_logger, "Attempt failed", url=str(target), attempt=attempt, cause=error.message, pause_s=pause)
            time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _once(target: transport.Target, path: Path, settings: FetchSettings, *, limit: int, deadline: float) -> str:
    log(_logger, "Downloading", url=str(target))
    started = time.monotonic()
    with transport.get(target, settings, deadline) as response:
        declared = _declared_length(response)
        if declared is not None and declared > limit:
            raise _too_large(target, declared, limit)
        digest, received = _copy(target, response, path, limit=limit, total=declared)
    if declared is not None and received != declared:
        raise TransientError(f"{target}: the connection ended after {received} of {declared} bytes")
    log(_logger, "Downloaded", url=str(target), bytes=received, seconds=round(time.monotonic() - started, 3))
    return digest


def _copy(
    target: transport.Target, response: http.client.HTTPResponse, path: Path, *, limit: int, total: int | None
) -> tuple[str, int]:
    """Write the body to `path` and return (sha256, bytes received)."""
    hasher, received, reported = hashlib.sha256(), 0, time.monotonic()
    try:
        with path.open("wb") as file:
            while chunk := response.read1(_CHUNK):
                received += len(chunk)
                if received > limit:
                    raise _too_large(target, received, limit)
                hasher.update(chunk)
                _write(file, chunk)
                if time.monotonic() - reported > _PROGRESS_SECONDS:
                    reported = time.monotonic()
                    percent = round(100 * received / total, 1) if total else None
                    log(_logger, "Downloading", url=str(target), bytes=received, of=total, percent=percent)
    except _DiskError as error:
        raise ModelError(TOO_LARGE, f"cannot write the model to {path.parent}: {error}") from error
    return hasher.hexdigest(), received


class _DiskError(Exception):
    """The disk's failures, kept apart from the network's, which are OSErrors too."""


def _write(file: BinaryIO, chunk: bytes) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        raise _DiskError(str(error)) from error


def _declared_length(response: http.client.HTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _too_large(target: transport.Target, size: int, limit: int) -> ModelError:
    return ModelError(
        TOO_LARGE, f"{target} has {size} bytes or more, the limit is {limit} (IMAGECLASSIFIER_MAX_MODEL_BYTES)"
    )
