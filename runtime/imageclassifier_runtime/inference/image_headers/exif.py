"""Reads the EXIF orientation, the only field that matters, without parsing all the others.

A general EXIF reader copies the data of every field. In a malicious file, many fields point to the same data, so a
few kilobytes become gigabytes of memory.
"""

from __future__ import annotations

import struct

_ORIENTATION = 0x0112
_SHORT = 3
_MAX_FIELDS = 1024


def orientation(block: bytes | bytearray | memoryview) -> int:
    """Return the orientation, 1 to 8, of a TIFF block (with or without the `Exif` prefix).

    It is 1 if it is missing or invalid.
    """
    if bytes(block[:6]) == b"Exif\0\0":
        block = block[6:]
    order = {b"II": "<", b"MM": ">"}.get(bytes(block[:2]))
    if order is None:
        return 1
    try:
        magic, offset = struct.unpack_from(order + "HL", block, 2)
        (field_count,) = struct.unpack_from(order + "H", block, offset)
        if magic != 42:
            return 1
        for index in range(min(field_count, _MAX_FIELDS)):
            tag, kind, value_count, value = struct.unpack_from(order + "HHLH", block, offset + 2 + 12 * index)
            if tag == _ORIENTATION:
                return value if kind == _SHORT and value_count == 1 and 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1
