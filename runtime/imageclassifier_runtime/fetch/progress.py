"""Logs the progress of a download every few seconds, with bytes, total and rate."""

from __future__ import annotations

import logging
import time

from imageclassifier_runtime.logs import log

_EVERY_SECONDS = 2.0
_logger = logging.getLogger(__name__)


class Progress:
    """Logs the progress of one file; `source` is its name in the log, without credentials."""

    def __init__(self, source: str, *, already: int = 0) -> None:
        self._source = source
        self._started = self._logged_at = time.monotonic()
        self._first_bytes = self._last_bytes = already
        log(_logger, "Downloading", source=source, bytes=already)

    def at(self, received: int, total: int | None) -> None:
        """Report the number of received bytes; cheap enough to call for every chunk."""
        now = time.monotonic()
        if now - self._logged_at < _EVERY_SECONDS:
            return
        rate = (received - self._last_bytes) / (now - self._logged_at)
        self._logged_at, self._last_bytes = now, received
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
        """Report that the file is complete."""
        seconds = time.monotonic() - self._started
        rate = round((received - self._first_bytes) / seconds) if seconds > 0 else None
        log(
            _logger,
            "Downloaded",
            source=self._source,
            bytes=received,
            seconds=round(seconds, 3),
            bytes_per_second=rate,
        )
