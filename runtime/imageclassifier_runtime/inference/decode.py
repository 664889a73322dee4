"""Decodes image files to pixels with Pillow, and lists the exceptions by which Pillow reports a broken file."""

from __future__ import annotations

import struct
import warnings
import zlib
from typing import TYPE_CHECKING

from PIL import Image

from imageclassifier_runtime.errors import ImageUndecodableError

if TYPE_CHECKING:
    from imageclassifier_runtime.inference.image_headers.base import ImageHeader

# Pillow raises these for a broken file. Any other exception is a bug and is not caught.
DECODER_ERRORS = (
    OSError,  # truncated data, "broken data stream", UnidentifiedImageError
    SyntaxError,  # PNG: broken chunks and checksums; BMP and GIF: wrong format
    ValueError,  # impossible sizes, modes and palettes
    TypeError,  # a field of an unexpected type
    LookupError,  # a missing palette index or table entry
    ArithmeticError,  # a size that overflows, a division by a field that is zero
    AssertionError,  # a failed check in Pillow
    AttributeError,  # an object that Pillow creates only if an earlier field is present
    RuntimeError,  # a decoder in an invalid state; NotImplementedError for a rare variant of a format
    MemoryError,  # a size that a decoder written in C refuses to allocate
    EOFError,  # data that ends too early
    struct.error,  # a field that is cut off
    zlib.error,  # broken compressed data
    Image.DecompressionBombError,  # more than twice the pixel limit
    Image.DecompressionBombWarning,  # more than the pixel limit: see `configure`
)

# Pillow passes the file to the decoder in blocks of this size (Pillow's default: 64 KiB). The thread releases the
# GIL once for each block, so larger blocks cause fewer switches between threads.
_BLOCK_BYTES = 512 * 1024
# Length limit of Pillow's message in an error response.
_MAX_CAUSE_LENGTH = 200


def configure(max_pixels: int) -> None:
    """Set Pillow's pixel limit and its warnings, for the whole process."""
    Image.MAX_IMAGE_PIXELS = max_pixels
    # Warnings about unusual files would be written to stderr.
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
    # Up to twice the limit, Pillow only warns: raise that warning as an exception.
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def decode(header: ImageHeader) -> Image.Image:
    """Return the first frame, with the colour mode and the orientation that the file stores.

    Raises ImageUndecodableError.
    """
    try:
        image = Image.open(header.open_file(), formats=(header.format,))
        if image.size != (header.width, header.height):
            raise ImageUndecodableError(f"The {header.format} file states two different sizes.")
        image.decodermaxblock = _BLOCK_BYTES
        image.load()
    except DECODER_ERRORS as error:
        cause = (str(error) or type(error).__name__)[:_MAX_CAUSE_LENGTH]
        raise ImageUndecodableError(f"The {header.format} image cannot be decoded: {cause}.") from error
    return image
