"""JPEG: size, memory and scans from the markers before the first scan; application segments left out."""

from __future__ import annotations

from imageclassifier_runtime.errors import TooLargeError
from imageclassifier_runtime.inference.image_headers.base import Data, ImageHeader, broken, truncated
from imageclassifier_runtime.inference.image_headers.exif import orientation

MAGIC = b"\xff\xd8\xff"
_NOT_FRAMES = frozenset({0xC4, 0xC8, 0xCC})
_FRAMES = frozenset(range(0xC0, 0xD0)) - _NOT_FRAMES
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_TABLES = frozenset({0xC4, 0xCC, 0xDB, 0xDD})
_COLOUR = frozenset({0xE0, 0xEE})  # JFIF and Adobe: they say which colour space the components are in
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_SCAN, _EXIF = 0xDA, 0xE1
_MAX_SEGMENTS = 4096
# Each scan is a pass over the whole image: a progressive file with thousands of empty scans would take hours.
_MAX_SCANS = 100
# 20 scans of 25 million pixels; Pillow itself writes 10, and 18 for CMYK.
_MAX_SCANNED_PIXELS = 500_000_000


def parse(data: Data) -> ImageHeader:
    """Read a JPEG up to its first scan; raises ImageUndecodableError."""
    view = memoryview(data)
    kept = [view[:2]]
    frame: tuple[int, memoryview] | None = None
    orientation_value, position = 1, 2
    for _ in range(_MAX_SEGMENTS):
        marker, start, end = _segment(view, position)
        if marker == _SCAN:
            if frame is None:
                raise broken("JPEG", "it has no frame header before its first scan")
            return _image_header(frame, view[start:end], (*kept, view[position:]), data, orientation_value)
        if marker in _FRAMES:
            if frame is not None:
                raise broken("JPEG", "it has two frame headers")
            frame = marker, view[start:end]
        elif marker == _EXIF and orientation_value == 1 and bytes(view[start : start + 6]) == b"Exif\0\0":
            orientation_value = orientation(view[start:end])
        if marker in _FRAMES or marker in _TABLES or (marker in _COLOUR and end - start <= 256):
            kept.append(view[position:end])
        position = end
    raise broken("JPEG", f"it has more than {_MAX_SEGMENTS} segments before its first scan")


def _segment(view: memoryview, position: int) -> tuple[int, int, int]:
    """Return (marker, start of its payload, end) of the segment at `position`."""
    limit = len(view)
    if position + 2 > limit:
        raise truncated("JPEG")
    if view[position] != 0xFF:
        raise broken("JPEG", "a marker is missing")
    while position + 1 < limit and view[position + 1] == 0xFF:
        position += 1
    if position + 2 > limit:
        raise truncated("JPEG")
    marker, start = view[position + 1], position + 2
    if marker in _STANDALONE:
        return marker, start, start
    if start + 2 > limit:
        raise truncated("JPEG")
    length = view[start] << 8 | view[start + 1]
    if length < 2 or marker in {0x00, 0xD8, 0xD9}:
        raise broken("JPEG", "a segment is malformed")
    if start + length > limit:
        raise truncated("JPEG")
    return marker, start + 2, start + length


def _image_header(
    frame: tuple[int, memoryview],
    scan: memoryview,
    pieces: tuple[memoryview, ...],
    data: Data,
    orientation_value: int,
) -> ImageHeader:
    marker, header = frame
    if len(header) < 6 or len(header) < 6 + 3 * header[5] or not header[5] or not scan:
        raise truncated("JPEG")
    height, width = header[1] << 8 | header[2], header[3] << 8 | header[4]
    components = header[5]
    per_pixel = 1.0 if components == 1 else 4.0
    # Otherwise the decoder stops after the first scan, which is complete.
    if marker in _PROGRESSIVE or scan[0] < components:
        scans = data.count(b"\xff\xda", len(data) - len(pieces[-1]))
        if scans > _MAX_SCANS or (scans > 1 and scans * width * height > _MAX_SCANNED_PIXELS):
            raise TooLargeError(f"The JPEG has {scans} scans, too many for its size.", reason="too-many-scans")
        # The decoder keeps the coefficients of the whole image, 2 bytes each, until the last scan.
        factors = [header[7 + 3 * index] for index in range(components)]
        blocks = [max(1, factor >> 4) * max(1, factor & 15) for factor in factors]
        widest = max(1, *(factor >> 4 for factor in factors)) * max(1, *(factor & 15 for factor in factors))
        per_pixel += 2 * sum(blocks) / widest
    return ImageHeader("JPEG", width, height, pieces, int(width * height * per_pixel), orientation_value)
