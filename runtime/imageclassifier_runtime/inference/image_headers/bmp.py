"""BMP: size, depth and compression from the two headers."""

from __future__ import annotations

import struct

from imageclassifier_runtime.errors import TooLargeError
from imageclassifier_runtime.inference.image_headers.base import Data, ImageHeader, broken, truncated

MAGIC = b"BM"
_CORE, _INFO = 12, 40
_RUN_LENGTH = frozenset({1, 2})
# Run-length coded bitmaps are decoded in Python, a run at a time.
_MAX_RUN_LENGTH_PIXELS = 4_000_000
_MAX_RUN_LENGTH_BYTES = 1024 * 1024


def parse(data: Data) -> ImageHeader:
    """Read a BMP's headers; raises ImageUndecodableError, or TooLargeError for large run-length coded ones."""
    view = memoryview(data)
    if len(view) < 26:
        raise truncated("BMP")
    (size,) = struct.unpack_from("<I", view, 14)
    compression = 0
    if size == _CORE:
        width, height, _, bits = struct.unpack_from("<HHHH", view, 18)
    elif size >= _INFO:
        if len(view) < 14 + _INFO:
            raise truncated("BMP")
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", view, 18)
    else:
        raise broken("BMP", f"its header has {size} bytes")
    height = abs(height)
    if width < 0:
        raise broken("BMP", "its width is negative")
    if compression in _RUN_LENGTH and (
        width * height > _MAX_RUN_LENGTH_PIXELS or len(view) > _MAX_RUN_LENGTH_BYTES
    ):
        raise TooLargeError(
            f"Run-length coded BMP files are taken up to {_MAX_RUN_LENGTH_PIXELS} pixels and "
            f"{_MAX_RUN_LENGTH_BYTES} bytes."
        )
    per_pixel = 8 if compression in _RUN_LENGTH else 1 if bits <= 8 else 4
    return ImageHeader("BMP", width, height, (view,), width * height * per_pixel)
