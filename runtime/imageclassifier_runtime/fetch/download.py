"""Downloads one file of a model, with a size limit and a deadline; interrupted downloads are resumed."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import TOO_LARGE, ModelError
from imageclassifier_runtime.fetch import transport
from imageclassifier_runtime.fetch.partial import Partial
from imageclassifier_runtime.fetch.progress import Progress
from imageclassifier_runtime.fetch.retry import retrying
from imageclassifier_runtime.fetch.transport import RangeRefusedError, TransientError

if TYPE_CHECKING:
    import http.client
    from pathlib import Path

    from imageclassifier_runtime.fetch.transport import Target
    from imageclassifier_runtime.settings.commands import FetchSettings

_CHUNK = 256 * 1024
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII)


def download(target: Target, path: Path, settings: FetchSettings, *, limit: int, deadline: float) -> bool:
    """Download `target` to `path`; raises ModelError.

    `limit` is in bytes, `deadline` in `time.monotonic()` seconds. Returns whether the download was resumed: only
    then may a new download from the first byte fix a wrong digest.
    """
    partial = Partial(path)

    def attempt() -> None:
        try:
            _attempt(target, partial, settings, limit=limit, deadline=deadline)
        except RangeRefusedError:
            partial.discard_etag()
            raise

    retrying(attempt, settings, deadline, progress=lambda: partial.max_received)
    partial.finish()
    return partial.resumed


def _attempt(target: Target, partial: Partial, settings: FetchSettings, *, limit: int, deadline: float) -> None:
    with transport.get(target, settings, deadline, headers=partial.range_headers) as response:
        if response.status == 206:
            _check_range(target, response, partial)
        else:
            partial.restart(etag=response.headers.get("ETag"), total=_declared_length(response))
        if partial.total is not None and partial.total > limit:
            raise too_large(str(target), partial.total, limit)
        progress = Progress(str(target), already=partial.received)
        while chunk := response.read1(_CHUNK):
            if partial.received + len(chunk) > limit:
                raise too_large(str(target), partial.received + len(chunk), limit)
            partial.append(chunk)
            progress.at(partial.received, partial.total)
            if time.monotonic() >= deadline:
                break
    if time.monotonic() >= deadline and partial.received != partial.total:
        raise TransientError(f"{target}: {partial.received} bytes received")
    if partial.total is not None and partial.received < partial.total:
        raise TransientError(f"{target}: the connection ended after {partial.received} of {partial.total} bytes")
    if partial.total is not None and partial.received > partial.total:
        raise RangeRefusedError(f"{target}: {partial.received} bytes received for a file of {partial.total}")
    progress.done(partial.received)


def _check_range(target: Target, response: http.client.HTTPResponse, partial: Partial) -> None:
    """Check that the response continues the partial file (RFC 9110, 14.4 and 15.3.7); raises RangeRefusedError."""
    content_range = response.headers.get("Content-Range", "")
    match = _CONTENT_RANGE.fullmatch(content_range.strip())
    if match is None:
        raise RangeRefusedError(f"{target}: invalid Content-Range {content_range[:100]!r}")
    start, end, total = (int(text) for text in match.groups())
    if start != partial.received or end < start or end >= total or partial.total not in {None, total}:
        raise RangeRefusedError(
            f"{target}: requested the range from byte {partial.received}, got {content_range[:100]!r}"
        )
    etag = response.headers.get("ETag")
    if etag is not None and etag != partial.etag:
        raise RangeRefusedError(f"{target}: the file was replaced during the download")
    partial.resume(total)


def _declared_length(response: http.client.HTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def too_large(source: str, size: int, limit: int) -> ModelError:
    """Return the error for a file of `size` bytes above `limit`."""
    return ModelError(
        TOO_LARGE, f"{source} has {size} bytes or more, the limit is {limit} (IMAGECLASSIFIER_MAX_MODEL_BYTES)"
    )
