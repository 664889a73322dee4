"""The form of a result in Redis, and what of it is believed.

    "ICR1" | first 16 bytes of SHA-256(key | scores) | scores, float32, little-endian

The digest shows a value that was cut, mixed up or put under another key. It is no signature: who may write to
Redis can make one.
"""

from __future__ import annotations

import hashlib

import numpy as np

_MAGIC = b"ICR1"
_DIGEST = 16
_HEAD = len(_MAGIC) + _DIGEST


def size(classes: int) -> int:
    """Return how many bytes the form takes."""
    return _HEAD + 4 * classes


def pack(key: bytes, scores: bytes) -> bytes:
    """Return the form of a result."""
    return _MAGIC + _digest(key, scores) + scores


def unpack(key: bytes, value: bytes, classes: int) -> bytes | None:
    """Return the scores, or None where the value is not what `pack` made of finite scores of that many classes."""
    scores = value[_HEAD:]
    if len(value) != size(classes) or value[:_HEAD] != _MAGIC + _digest(key, scores):
        return None
    return scores if np.isfinite(np.frombuffer(scores, "<f4")).all() else None


def _digest(key: bytes, scores: bytes) -> bytes:
    return hashlib.sha256(key + scores).digest()[:_DIGEST]
