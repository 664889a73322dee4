"""Decodes image files to pixels; the only module that runs decoders and lists their exceptions."""

from __future__ import annotations

import struct
import warnings
import zlib
from typing import TYPE_CHECKING

from PIL import Image

from imageclassifier_runtime.errors import ImageUndecodableError

if TYPE_CHECKING:
    from imageclassifier_runtime.inference.image_headers.base import ImageHeader

# What Pillow's Python and C parts raise on broken files. Any other exception is a bug and propagates.
FAILURES = (
    OSError,  # truncated data, "broken data stream", UnidentifiedImageError
    SyntaxError,  # PNG: broken chunks and checksums; BMP and GIF: wrong format
    ValueError,  # impossible sizes, modes and palettes
    TypeError,  # fields of an unexpected type
    LookupError,  # missing palette index or table entry
    ArithmeticError,  # sizes that overflow, division by a zero field
    AssertionError,  # Pillow's own checks
    AttributeError,  # a part that an earlier field should have created
    RuntimeError,  # decoder states, NotImplementedError
    MemoryError,  # the C decoders report sizes that they do not allocate this way
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)

# Size of the blocks passed to a decoder: the thread releases and reacquires the GIL for each.
_BLOCK_BYTES = 512 * 1024


def configure(max_pixels: int) -> None:
    """Configure Pillow process-wide: its pixel limit, and no warnings on stderr about unusual files."""
    Image.MAX_IMAGE_PIXELS = max_pixels
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def decode(header: ImageHeader) -> Image.Image:
    """Return the first frame, fully decoded, in the file's mode and stored orientation.

    Raises ImageUndecodableError.
    """
    try:
        image = Image.open(header.open(), formats=(header.format,))
        if image.size != (header.width, header.height):
            raise ImageUndecodableError(f"The {header.format} file states two different sizes.")
        image.decodermaxblock = _BLOCK_BYTES
        image.load()
    except FAILURES as error:
        cause = str(error) or type(error).__name__
        raise ImageUndecodableError(f"The {header.format} image cannot be decoded: {cause[:200]}.") from error
    return image
