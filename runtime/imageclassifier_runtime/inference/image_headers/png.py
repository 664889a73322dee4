"""PNG: size and depth from IHDR, and only the chunks for pixels; text, profiles and animation are left out."""

from __future__ import annotations

import struct

from imageclassifier_runtime.inference.image_headers.base import Data, ImageHeader, broken, truncated
from imageclassifier_runtime.inference.image_headers.exif import orientation

MAGIC = b"\x89PNG\r\n\x1a\n"
_END = memoryview(b"\0\0\0\0IEND\xaeB`\x82")
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS"})
_MAX_CHUNKS = 20_000
_MAX_KEPT = 1024
# Bytes per pixel once decoded, by colour type: grey, RGB, palette, grey with alpha, RGBA.
_PER_PIXEL = {0: 1, 2: 4, 3: 1, 4: 4, 6: 4}


def parse(data: Data) -> ImageHeader:
    """Read a PNG up to the end of its image data; raises ImageUndecodableError."""
    view = memoryview(data)
    kept = [view[:8]]
    header: bytes | None = None
    first_data: int | None = None
    orientation_value, position = 1, 8
    for _ in range(_MAX_CHUNKS):
        if position + 12 > len(view):
            break
        length = int.from_bytes(view[position : position + 4], "big")
        kind, end = bytes(view[position + 4 : position + 8]), position + 12 + length
        if header is None and (kind != b"IHDR" or length != 13):
            raise broken("PNG", "it does not start with a header chunk")
        if kind == b"IDAT":
            first_data = position if first_data is None else first_data
        elif first_data is not None:
            return _image_header(header, (*kept, view[first_data:position], _END), orientation_value)
        elif end > len(view):
            raise truncated("PNG")
        elif kind in _KEPT:
            if length > _MAX_KEPT:
                raise broken("PNG", f"its {kind.decode()} chunk is too long")
            header = bytes(view[position + 8 : end - 4]) if header is None else header
            kept.append(view[position:end])
        elif kind == b"eXIf":
            orientation_value = orientation(view[position + 8 : end - 4])
        position = end
    else:
        raise broken("PNG", f"it has more than {_MAX_CHUNKS} chunks")
    if first_data is None:
        raise truncated("PNG")
    return _image_header(header, (*kept, view[first_data:]), orientation_value)


def _image_header(header: bytes | None, pieces: tuple[memoryview, ...], orientation_value: int) -> ImageHeader:
    if header is None:
        raise truncated("PNG")
    width, height, depth, colour = struct.unpack(">IIBB", header[:10])
    if colour not in _PER_PIXEL:
        raise broken("PNG", f"colour type {colour} does not exist")
    per_pixel = 2 if colour == 0 and depth == 16 else _PER_PIXEL[colour]
    return ImageHeader("PNG", width, height, pieces, width * height * per_pixel, orientation_value)
