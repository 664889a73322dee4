"""WebP: size from the first chunk, orientation from the EXIF chunk, if any."""

from __future__ import annotations

from imageclassifier_runtime.inference.image_headers.base import Data, ImageHeader, broken, truncated
from imageclassifier_runtime.inference.image_headers.exif import orientation

MAGIC, TAG = b"RIFF", b"WEBP"
_MAX_CHUNKS = 10_000
_HAS_EXIF = 0x08
# Two canvases of the animation decoder (used for stills too), the copy that it returns, and the image;
# measured: 16.0 for lossy and animated files, 16.1 for lossless ones.
_PER_PIXEL = 16


def parse(data: Data) -> ImageHeader:
    """Read a WebP's first chunk; raises ImageUndecodableError."""
    view = memoryview(data)
    if len(view) < 30:
        raise truncated("WebP")
    kind, orientation_value = bytes(view[12:16]), 1
    if kind == b"VP8 ":
        if bytes(view[23:26]) != b"\x9d\x01\x2a":
            raise broken("WebP", "its frame has no start code")
        width, height = _little(view[26:28]) & 0x3FFF, _little(view[28:30]) & 0x3FFF
    elif kind == b"VP8L":
        if view[20] != 0x2F:
            raise broken("WebP", "its frame has no signature")
        bits = _little(view[21:25])
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8X":
        width, height = _little(view[24:27]) + 1, _little(view[27:30]) + 1
        orientation_value = _orientation(view) if view[20] & _HAS_EXIF else 1
    else:
        raise broken("WebP", "its first chunk has an unknown type")
    # The decoder keeps its own copy of the file.
    peak = width * height * _PER_PIXEL + 3 * len(view)
    return ImageHeader("WEBP", width, height, (view,), peak, orientation_value)


def _orientation(view: memoryview) -> int:
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > len(view):
            break
        size = _little(view[position + 4 : position + 8])
        if bytes(view[position : position + 4]) == b"EXIF":
            return orientation(view[position + 8 : position + 8 + size])
        position += 8 + size + (size & 1)
    return 1


def _little(view: memoryview) -> int:
    return int.from_bytes(view, "little")
