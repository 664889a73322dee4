"""Why a photograph has no answer, from this process or in a server's own words."""

from __future__ import annotations

from typing import Any

Answer = dict[str, Any]
"""`predictions`, `model` and `timings_ms`, as `POST /api/v1/classify` answers."""


class FailedError(Exception):
    """One photograph has no answer; the others may."""

    def __init__(self, detail: str, *, status: int | None = None, title: str = "", retry: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.title = title
        self.retry = retry

    def text(self) -> str:
        """Return one line for a person."""
        said = f"{self.status} {self.title}: {self.detail}" if self.status else self.detail
        return f"{said} Try again in {self.retry} s." if self.retry else said

    def problem(self) -> dict[str, object]:
        """Return the same for a program, with the names of RFC 9457."""
        whole: dict[str, object] = {"title": self.title, "status": self.status, "detail": self.detail}
        return {name: value for name, value in whole.items() if value}


class UnreachableError(FailedError):
    """No server is there: asking it about the other photographs would be waiting in vain."""
