"""Decode: from an image file to pixels. No other module runs a decoder, or lists how it may fail."""

from __future__ import annotations

import struct
import warnings
import zlib
from typing import TYPE_CHECKING

from PIL import Image

from imageclassifier_runtime.errors import ImageUndecodableError

if TYPE_CHECKING:
    from imageclassifier_runtime.inference.image_headers.base import ImageHeader

# What Pillow's Python and C parts raise on broken files. Each of these says that the file is at fault;
# anything else is a fault of ours and is let through.
FAILURES = (
    OSError,  # truncated data, "broken data stream", UnidentifiedImageError
    SyntaxError,  # PNG: broken chunks and checksums; BMP and GIF: not such a file
    ValueError,  # impossible sizes, modes and palettes
    TypeError,  # fields of an unexpected kind
    LookupError,  # palette index or table entry that is not there
    ArithmeticError,  # sizes that overflow, division by a zero field
    AssertionError,  # Pillow's own checks
    AttributeError,  # a part that an earlier field should have made
    RuntimeError,  # decoder states, NotImplementedError
    MemoryError,  # how the C decoders report sizes that they will not allocate
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)

# Handed to a decoder in one piece: for each, this thread gives the interpreter away, and waits to have it back.
_BLOCK_BYTES = 512 * 1024


def configure(max_pixels: int) -> None:
    """Set the process-wide parts of Pillow: its own pixel limit, and no warnings on stderr about odd files."""
    Image.MAX_IMAGE_PIXELS = max_pixels
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def decode(header: ImageHeader) -> Image.Image:
    """Return the first frame, decoded whole, in the file's own mode and stored orientation.

    Raises ImageUndecodableError.
    """
    try:
        image = Image.open(header.open(), formats=(header.format,))
        if image.size != (header.width, header.height):
            raise ImageUndecodableError(f"The {header.format} file gives two different sizes.")
        image.decodermaxblock = _BLOCK_BYTES
        image.load()
    except FAILURES as error:
        cause = str(error) or type(error).__name__
        raise ImageUndecodableError(f"The {header.format} image cannot be decoded: {cause[:200]}.") from error
    return image
