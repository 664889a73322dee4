"""Progress lines of a transfer: at most one in a few seconds, each with bytes, total and rate."""

from __future__ import annotations

import logging
import time

from imageclassifier_runtime.logs import log

_EVERY_SECONDS = 2.0
_logger = logging.getLogger(__name__)


class Progress:
    """Says how one file comes along; `source` is how the log names it, without credentials."""

    def __init__(self, source: str, *, already: int = 0) -> None:
        self._source = source
        self._began = self._said = time.monotonic()
        self._first = self._last = already
        log(_logger, "Downloading", source=source, bytes=already)

    def at(self, received: int, total: int | None) -> None:
        """Tell how many bytes are there now; cheap enough for every chunk."""
        now = time.monotonic()
        if now - self._said < _EVERY_SECONDS:
            return
        rate = (received - self._last) / (now - self._said)
        self._said, self._last = now, received
        percent = round(100 * received / total, 1) if total else None
        log(
            _logger,
            "Downloading",
            source=self._source,
            bytes=received,
            total=total,
            percent=percent,
            bytes_per_second=round(rate),
        )

    def done(self, received: int) -> None:
        """Tell that the file is complete."""
        seconds = time.monotonic() - self._began
        rate = round((received - self._first) / seconds) if seconds > 0 else None
        log(
            _logger,
            "Downloaded",
            source=self._source,
            bytes=received,
            seconds=round(seconds, 3),
            bytes_per_second=rate,
        )
