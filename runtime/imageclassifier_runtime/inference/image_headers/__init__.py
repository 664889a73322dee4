"""Parses headers of image files: size, memory cost and orientation are known before a decoder runs."""

from __future__ import annotations

from imageclassifier_runtime.errors import (
    BodyInvalidError,
    ImageUndecodableError,
    TooLargeError,
    UnsupportedTypeError,
)
from imageclassifier_runtime.inference.image_headers.base import Data, ImageHeader
from imageclassifier_runtime.inference.image_headers.formats import FORMATS, NAMES

__all__ = ["ImageHeader", "check_limits", "read"]


def read(data: Data) -> ImageHeader:
    """Detect the format from the first bytes, regardless of the Content-Type, and parse the header.

    Raises UnsupportedTypeError for other formats, ImageUndecodableError for a broken header.
    """
    start = bytes(data[:12])
    if not start:
        raise BodyInvalidError("The image is empty.")
    for image_format in FORMATS:
        if image_format.matches(start):
            header = image_format.parse(data)
            break
    else:
        raise _unknown(start)
    if not (header.width and header.height):
        raise ImageUndecodableError(f"The image has {header.width} x {header.height} pixels.")
    return header


def check_limits(header: ImageHeader, *, max_pixels: int, max_side: int) -> None:
    """Raise TooLargeError for too many pixels or too long a side."""
    if header.pixels > max_pixels or max(header.width, header.height) > max_side:
        raise TooLargeError(
            f"The image has {header.width} x {header.height} pixels; this server takes at most "
            f"{max_pixels} pixels and {max_side} on a side. Send a smaller version: the model uses only a "
            "few hundred pixels a side.",
            reason="too-many-pixels",
        )


def _unknown(start: bytes) -> ImageUndecodableError | UnsupportedTypeError:
    # The first bytes of a format with a tag are shared by many other file types.
    if any(
        magic.startswith(start) for image_format in FORMATS if not image_format.tag for magic in image_format.magic
    ):
        return ImageUndecodableError("The file ends after its first bytes.")
    return UnsupportedTypeError(f"The file is not a {NAMES} image.")
