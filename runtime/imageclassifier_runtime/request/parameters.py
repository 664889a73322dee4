"""What requests say beside their bodies: a header by its name, and `top_k`, which several protocols take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import QueryParams

from imageclassifier_runtime.errors import ParameterError

if TYPE_CHECKING:
    from starlette.types import Scope

DEFAULT_TOP_K, MAX_TOP_K = 5, 10


def header(scope: Scope, name: bytes) -> str:
    """Return the first header of this name (in lower case), or nothing."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return ""


def query_value(scope: Scope, name: str) -> str | None:
    """Return the last value of a query parameter, None where there is none."""
    query: bytes = scope["query_string"]
    return QueryParams(query).get(name) if query else None


def top_k(text: str | None) -> int:
    """Return how many classes are wanted; raises ParameterError."""
    if text is None:
        return DEFAULT_TOP_K
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_TOP_K):
        raise ParameterError(f"top_k must be a whole number from 1 to {MAX_TOP_K}, not {text[:40]!r}.")
    return int(text)
