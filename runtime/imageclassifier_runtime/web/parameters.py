"""The parameter `top_k`, which several protocols take."""

from __future__ import annotations

from imageclassifier_runtime.errors import ParameterError

DEFAULT_TOP_K, MAX_TOP_K = 5, 10


def top_k(text: str | None) -> int:
    """Return how many classes are wanted; raises ParameterError."""
    if text is None:
        return DEFAULT_TOP_K
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_TOP_K):
        raise ParameterError(f"top_k must be a whole number from 1 to {MAX_TOP_K}, not {text[:40]!r}.")
    return int(text)
