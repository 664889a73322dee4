"""Logs the `Warning` headers of the API server (RFC 9110, appendix B.10; RFC 7234, section 5.5).

Kubernetes sends them for deprecated APIs, unknown fields and admission policies that only warn.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MAX_TEXT_LENGTH = 500
_MAX_WARNINGS = 200
"""How many distinct warnings are logged. The limit is needed since a warning may contain a time or a name."""

_WARNING = re.compile(r'\d{3} \S+ "((?:[^"\\]|\\.)*)"')
"""`warn-code SP warn-agent SP warn-text`. A header can have several warnings, separated by commas."""

LOGGED = "Warning from the API server"
"""How each of these log lines starts. Integration tests and scenarios fail if the operator logs one."""

logger = logging.getLogger(__name__)


class WarningLog:
    """Logs each distinct warning once."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def log(self, headers: Iterable[str], *, request: str) -> None:
        """Log the warnings of one response that were not logged before, with the request."""
        for text in warning_texts(headers):
            if text not in self._logged and len(self._logged) < _MAX_WARNINGS:
                self._logged.add(text)
                logger.warning("%s for %s: %s", LOGGED, request, text)


def warning_texts(headers: Iterable[str]) -> Iterator[str]:
    """Yield the text of every warning; a header in another format is yielded unchanged."""
    for header in headers:
        texts = _WARNING.findall(header)
        for text in texts or [header]:
            yield re.sub(r"\\(.)", r"\1", text)[:_MAX_TEXT_LENGTH]
