"""The cache of one process: what was used last stays, within a bound of bytes. Not for several threads."""

from __future__ import annotations

import sys
from collections import OrderedDict

# What the dictionary and the allocator take beside key and value: measured, and rounded up.
_ENTRY = 256


class MemoryCache:
    """Keys and values are bytes; `bytes` is what all entries take together, and never more than `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> bytes | None:
        """Return a value, which counts as used now, or None."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: bytes, value: bytes) -> None:
        """Keep a value, and forget what was used longest ago until there is room; not one that never fits."""
        cost = _cost(key, value)
        if cost > self.max_bytes:
            return
        known = self._entries.pop(key, None)
        if known is not None:
            self.bytes -= _cost(key, known)
        while self.bytes + cost > self.max_bytes:
            self.bytes -= _cost(*self._entries.popitem(last=False))
        self._entries[key] = value
        self.bytes += cost


def _cost(key: bytes, value: bytes) -> int:
    return sys.getsizeof(key) + sys.getsizeof(value) + _ENTRY
