"""Image containers, read far enough to know size, cost and orientation before a decoder runs."""

from __future__ import annotations

from imageclassifier_runtime.errors import (
    BodyInvalidError,
    ImageUndecodableError,
    TooLargeError,
    UnsupportedTypeError,
)
from imageclassifier_runtime.inference.image_headers import bmp, gif, jpeg, png, webp
from imageclassifier_runtime.inference.image_headers.base import Container, Data

__all__ = ["Container", "check_limits", "read"]

_NAMES = "JPEG, PNG, WebP, BMP or GIF"
_MAGIC = (jpeg.MAGIC, png.MAGIC, *gif.MAGIC, bmp.MAGIC)


def read(data: Data) -> Container:
    """Recognise a file by its first bytes, whatever anyone said it is, and read its header.

    Raises UnsupportedTypeError for what is none of our formats, ImageUndecodableError for a broken header.
    """
    start = bytes(data[:12])
    if not start:
        raise BodyInvalidError("The image is empty.")
    if start.startswith(jpeg.MAGIC):
        container = jpeg.parse(data)
    elif start.startswith(png.MAGIC):
        container = png.parse(data)
    elif start.startswith(webp.MAGIC) and start[8:12] == b"WEBP":
        container = webp.parse(data)
    elif start.startswith(gif.MAGIC):
        container = gif.parse(data)
    elif start.startswith(bmp.MAGIC):
        container = bmp.parse(data)
    elif any(magic.startswith(start) for magic in _MAGIC):
        raise ImageUndecodableError("The file ends after its first bytes.")
    else:
        raise UnsupportedTypeError(f"These bytes are no {_NAMES} image.")
    if not (container.width and container.height):
        raise ImageUndecodableError(f"The image has {container.width} x {container.height} pixels.")
    return container


def check_limits(container: Container, *, max_pixels: int, max_side: int) -> None:
    """Raise TooLargeError for more pixels, or a longer side, than are taken."""
    if container.pixels > max_pixels or max(container.width, container.height) > max_side:
        raise TooLargeError(
            f"The image has {container.width} x {container.height} pixels; this server takes at most "
            f"{max_pixels} pixels and {max_side} on a side. Send a smaller version: the model looks at a "
            "few hundred pixels a side only.",
            reason="too-many-pixels",
        )
