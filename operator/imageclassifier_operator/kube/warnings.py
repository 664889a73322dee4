"""Logs the `Warning` headers of the API server (RFC 9110, appendix B.10; RFC 7234, section 5.5).

Kubernetes sends them for deprecated APIs, unknown fields and admission policies that only warn.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LONGEST_TEXT = 500
_MOST_TEXTS = 200
"""Limit of distinct texts that are logged, since a server may put a time or a name into each."""

_WARNING = re.compile(r'\d{3} \S+ "((?:[^"\\]|\\.)*)"')
"""`warn-code SP warn-agent SP warn-text`; several can stand in one header, separated by commas."""

LOGGED = "Warning from the API server"
"""How each of the log lines starts; integration tests and scenarios fail at one."""

logger = logging.getLogger(__name__)


class WarningLog:
    """Logs each distinct warning once."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def log(self, headers: Iterable[str], *, request: str) -> None:
        """Log the new warnings of one response, with its request."""
        for text in warning_texts(headers):
            if text not in self._logged and len(self._logged) < _MOST_TEXTS:
                self._logged.add(text)
                logger.warning("%s for %s: %s", LOGGED, request, text)


def warning_texts(headers: Iterable[str]) -> Iterator[str]:
    """Yield the text of every warning; a header in another format is yielded unchanged."""
    for header in headers:
        found = _WARNING.findall(header)
        for text in found or [header]:
            yield re.sub(r"\\(.)", r"\1", text)[:_LONGEST_TEXT]
