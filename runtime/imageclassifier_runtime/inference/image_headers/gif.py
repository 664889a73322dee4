"""GIF: the first frame only, with its palette and transparency; comments and application data are left out."""

from __future__ import annotations

from imageclassifier_runtime.inference.image_headers.base import Data, ImageHeader, broken, truncated

MAGIC = (b"GIF87a", b"GIF89a")
_EXTENSION, _IMAGE, _END = 0x21, 0x2C, 0x3B
_CONTROL = 0xF9
_MAX_BLOCKS = 50_000
_PER_PIXEL = 2


def parse(data: Data) -> ImageHeader:
    """Read a GIF up to its first image; raises ImageUndecodableError."""
    view = memoryview(data)
    if len(view) < 13:
        raise truncated("GIF")
    position = 13 + _palette_bytes(view[10])
    head, control = view[:position], view[:0]
    blocks = 0
    while True:
        if position + 10 > len(view):
            raise truncated("GIF")
        kind = view[position]
        if kind == _IMAGE:
            break
        if kind != _EXTENSION:
            what = "it has no image" if kind == _END else "a block has an unknown type"
            raise broken("GIF", what)
        start, is_control = position, view[position + 1] == _CONTROL
        position += 2
        while position < len(view) and view[position]:
            position += 1 + view[position]
            blocks += 1
            if blocks > _MAX_BLOCKS:
                raise broken("GIF", f"it has more than {_MAX_BLOCKS} blocks before its first image")
        position += 1
        if is_control:
            control = view[start:position]
    left, top, wide, high = (_little(view[position + 1 + 2 * i : position + 3 + 2 * i]) for i in range(4))
    width, height = max(_little(view[6:8]), left + wide), max(_little(view[8:10]), top + high)
    if not (wide and high):
        raise broken("GIF", "its first image is empty")
    return ImageHeader("GIF", width, height, (head, control, view[position:]), width * height * _PER_PIXEL)


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _little(view: memoryview) -> int:
    return int.from_bytes(view, "little")
