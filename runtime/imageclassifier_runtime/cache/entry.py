"""Encodes and validates results in Redis.

    "ICR1" | first 16 bytes of SHA-256(key | scores) | scores, float32, little-endian

The digest detects values that are truncated, corrupted, or stored under another key. It is not a signature: anyone
with write access to Redis can compute it.
"""

from __future__ import annotations

import hashlib

import numpy as np

_MAGIC = b"ICR1"
_DIGEST_BYTES = 16
_HEADER_BYTES = len(_MAGIC) + _DIGEST_BYTES


def size(classes: int) -> int:
    """Return the size of an encoded result in bytes."""
    return _HEADER_BYTES + 4 * classes


def pack(key: bytes, scores: bytes) -> bytes:
    """Encode a result."""
    return _MAGIC + _digest(key, scores) + scores


def unpack(key: bytes, value: bytes, classes: int) -> bytes | None:
    """Return the scores, or None if the value is not a `pack` of finite scores for that many classes."""
    scores = value[_HEADER_BYTES:]
    if len(value) != size(classes) or value[:_HEADER_BYTES] != _MAGIC + _digest(key, scores):
        return None
    return scores if np.isfinite(np.frombuffer(scores, "<f4")).all() else None


def _digest(key: bytes, scores: bytes) -> bytes:
    return hashlib.sha256(key + scores).digest()[:_DIGEST_BYTES]
