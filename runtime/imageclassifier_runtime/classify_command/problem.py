"""The result of one photograph: a classification, or the error of this process or of a server."""

from __future__ import annotations

from typing import Any

Classification = dict[str, Any]
"""`predictions`, `model` and `timings_ms`, as in the response of `POST /api/v1/classify`."""


class FailedError(Exception):
    """One photograph could not be classified; others may succeed."""

    def __init__(self, detail: str, *, status: int | None = None, title: str = "", retry: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.title = title
        self.retry = retry

    def text(self) -> str:
        """Return the error as one line of text."""
        text = f"{self.status} {self.title}: {self.detail}" if self.status else self.detail
        return f"{text} Try again in {self.retry} s." if self.retry else text

    def problem(self) -> dict[str, object]:
        """Return the error as problem details, with the field names of RFC 9457."""
        fields: dict[str, object] = {"title": self.title, "status": self.status, "detail": self.detail}
        return {name: value for name, value in fields.items() if value}


class UnreachableError(FailedError):
    """The server is unreachable, so the other photographs are not tried."""
