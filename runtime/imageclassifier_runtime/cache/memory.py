"""An in-process LRU cache with a size limit in bytes; not thread-safe."""

from __future__ import annotations

import sys
from collections import OrderedDict

# Overhead of the dictionary and the allocator per entry in bytes: measured, and rounded up.
_ENTRY_OVERHEAD = 256


class MemoryCache:
    """Keys and values are bytes; `bytes` is the total size of the entries, at most `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> bytes | None:
        """Return a value and mark it as recently used, or return None."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: bytes, value: bytes) -> None:
        """Store a value and evict the least recently used ones; a value larger than the cache is not stored."""
        cost = _cost(key, value)
        if cost > self.max_bytes:
            return
        replaced = self._entries.pop(key, None)
        if replaced is not None:
            self.bytes -= _cost(key, replaced)
        while self.bytes + cost > self.max_bytes:
            self.bytes -= _cost(*self._entries.popitem(last=False))
        self._entries[key] = value
        self.bytes += cost


def _cost(key: bytes, value: bytes) -> int:
    """Return the size of an entry in bytes."""
    return sys.getsizeof(key) + sys.getsizeof(value) + _ENTRY_OVERHEAD
