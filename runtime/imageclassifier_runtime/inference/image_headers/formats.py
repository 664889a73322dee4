"""The table of supported image formats; everything that depends on the format is listed only here."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from PIL import BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from imageclassifier_runtime.inference.image_headers import bmp, gif, jpeg, png, webp

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from imageclassifier_runtime.inference.image_headers.base import Data, ImageHeader


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ImageFormat:
    """A file has this format if it starts with one of `magic`, and has `tag`, if any, at offset 8.

    `parse` reads the header. Importing Pillow's `plugin` registers its decoder, so that Pillow does not search
    for plugins when it opens a file.
    """

    name: str
    media_type: str
    suffixes: tuple[str, ...]
    magic: tuple[bytes, ...]
    tag: bytes = b""
    parse: Callable[[Data], ImageHeader]
    plugin: ModuleType

    def matches(self, start: bytes) -> bool:
        """Return whether a file with these first 12 bytes has this format."""
        return start.startswith(self.magic) and start[8:].startswith(self.tag)


FORMATS = (
    ImageFormat(
        name="JPEG",
        media_type="image/jpeg",
        suffixes=(".jpg", ".jpeg"),
        magic=(jpeg.MAGIC,),
        parse=jpeg.parse,
        plugin=JpegImagePlugin,
    ),
    ImageFormat(
        name="PNG",
        media_type="image/png",
        suffixes=(".png",),
        magic=(png.MAGIC,),
        parse=png.parse,
        plugin=PngImagePlugin,
    ),
    ImageFormat(
        name="WebP",
        media_type="image/webp",
        suffixes=(".webp",),
        magic=(webp.MAGIC,),
        tag=webp.TAG,
        parse=webp.parse,
        plugin=WebPImagePlugin,
    ),
    ImageFormat(
        name="BMP",
        media_type="image/bmp",
        suffixes=(".bmp",),
        magic=(bmp.MAGIC,),
        parse=bmp.parse,
        plugin=BmpImagePlugin,
    ),
    ImageFormat(
        name="GIF",
        media_type="image/gif",
        suffixes=(".gif",),
        magic=gif.MAGIC,
        parse=gif.parse,
        plugin=GifImagePlugin,
    ),
)
MEDIA_TYPES = tuple(image_format.media_type for image_format in FORMATS)
SUFFIXES = frozenset(suffix for image_format in FORMATS for suffix in image_format.suffixes)
NAMES = f"{', '.join(image_format.name for image_format in FORMATS[:-1])} or {FORMATS[-1].name}"
"""For messages and descriptions."""
