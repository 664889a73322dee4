"""Request parameters outside the body: headers, query parameters, and `top_k`, which several protocols share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import QueryParams

from imageclassifier_runtime.errors import ParameterError

if TYPE_CHECKING:
    from starlette.types import Scope

DEFAULT_TOP_K, MAX_TOP_K = 5, 10


def header(scope: Scope, name: bytes) -> str:
    """Return the first header with this lower-case name, or an empty string."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return ""


def query_value(scope: Scope, name: str) -> str | None:
    """Return the last value of a query parameter, or None."""
    query: bytes = scope["query_string"]
    return QueryParams(query).get(name) if query else None


def parse_top_k(text: str | None) -> int:
    """Return the requested number of classes; raises ParameterError."""
    if text is None:
        return DEFAULT_TOP_K
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_TOP_K):
        raise ParameterError(f"top_k must be a whole number from 1 to {MAX_TOP_K}, not {text[:40]!r}.")
    return int(text)
