"""Converts a decoded image of any mode to the model's input.

Resize and crop are one step, on the stored pixels; orientation is applied to the small result. Modes other
than RGB and grey are converted in strips of rows, to avoid a second copy of a large image. The result is
bit-identical: Pillow too resizes all rows first, then all columns.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from imageclassifier_runtime.errors import ImageUndecodableError
from imageclassifier_runtime.inference.decode import DECODER_ERRORS

if TYPE_CHECKING:
    import numpy.typing as npt

    from imageclassifier_runtime.model.preprocessing import Preprocessing

Box = tuple[float, float, float, float]

_STRIP_PIXELS = 500_000
# Support of each filter in pixels per side, at scale 1, by its number in `Image.Resampling`.
_SUPPORT = (1.0, 3.0, 1.0, 2.0, 0.5, 1.0)
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def preprocess(image: Image.Image, orientation: int, preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """Return the model's input: float32, RGB, normalised, of shape [1, 3, size, size]."""
    try:
        small = crop_resized(image, orientation, preprocessing)
    except DECODER_ERRORS as error:
        raise ImageUndecodableError(f"The image cannot be converted: {error}.") from error
    return normalise(np.asarray(small), preprocessing)


def normalise(pixels: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """Return [1, 3, H, W] float32 from [H, W, 3] uint8 as `(value * rescale - mean) / std`."""
    height, width, channels = pixels.shape
    scale = np.array([preprocessing.rescale / deviation for deviation in preprocessing.std], np.float32)
    means = zip(preprocessing.mean, preprocessing.std, strict=True)
    shift = np.array([mean / deviation for mean, deviation in means], np.float32)
    out = np.empty((1, channels, height, width), np.float32)
    # All channels in one call: the thread may lose the GIL between two calls.
    np.multiply(pixels.transpose(2, 0, 1), scale[:, np.newaxis, np.newaxis], out=out[0])
    out -= shift[:, np.newaxis, np.newaxis]
    return out


def crop_resized(image: Image.Image, orientation: int, preprocessing: Preprocessing) -> Image.Image:
    """Return the upright RGB image of the crop's size, as resizing and then cropping would produce it."""
    swapped = orientation >= 5  # these orientations swap width and height
    width, height = image.size if not swapped else image.size[::-1]
    box = source_box(width, height, preprocessing)
    stored = _stored_box(box, image.size, orientation)
    size = preprocessing.crop if swapped else preprocessing.crop[::-1]
    small = _resize(image, size, preprocessing.resample, stored)
    return small.transpose(_TRANSPOSE[orientation]) if orientation in _TRANSPOSE else small


def source_box(width: int, height: int, preprocessing: Preprocessing) -> Box:
    """Return the region of an upright image of this size that the crop shows, in its pixels: (x0, y0, x1, y1)."""
    if preprocessing.exact is not None:
        scaled_height, scaled_width = preprocessing.exact
    else:
        short, edge = min(width, height), preprocessing.shortest_edge or 1
        scaled_width, scaled_height = edge * width // short, edge * height // short
    crop_height, crop_width = preprocessing.crop
    left, top = (scaled_width - crop_width) // 2, (scaled_height - crop_height) // 2
    across, down = width / scaled_width, height / scaled_height
    return left * across, top * down, (left + crop_width) * across, (top + crop_height) * down


def _stored_box(box: Box, size: tuple[int, int], orientation: int) -> Box:
    """Convert a box of the upright image to the stored image, which has `size` (width, height)."""
    x0, y0, x1, y1 = box
    width, height = size
    match orientation:
        case 2:
            turned = (width - x1, y0, width - x0, y1)
        case 3:
            turned = (width - x1, height - y1, width - x0, height - y0)
        case 4:
            turned = (x0, height - y1, x1, height - y0)
        case 5:
            turned = (y0, x0, y1, x1)
        case 6:
            turned = (y0, height - x1, y1, height - x0)
        case 7:
            turned = (width - y1, height - x1, width - y0, height - x0)
        case 8:
            turned = (width - y1, x0, width - y0, x1)
        case _:
            turned = box
    # Rounding must not move the box outside the image.
    left, top = max(0.0, turned[0]), max(0.0, turned[1])
    return left, top, min(float(width), turned[2]), min(float(height), turned[3])


def _resize(image: Image.Image, size: tuple[int, int], resample: int, box: Box) -> Image.Image:
    """Return the RGB image of `size` (width, height) that shows `box`."""
    method = Image.Resampling(resample)
    if image.mode in {"RGB", "L"} and "transparency" not in image.info:
        small = image.resize(size, method, box=box)
        return small if small.mode == "RGB" else small.convert("RGB")
    columns = _source_range(box[0], box[2], size[0], image.width, resample)
    rows = _source_range(box[1], box[3], size[1], image.height, resample)
    step = max(1, _STRIP_PIXELS // (columns[1] - columns[0]))
    narrow: Image.Image | None = None
    for top in range(rows[0], rows[1], step):
        bottom = min(top + step, rows[1])
        strip = _to_plain_mode(image.crop((columns[0], top, columns[1], bottom)))
        across = (box[0] - columns[0], 0, box[2] - columns[0], bottom - top)
        strip = strip.resize((size[0], bottom - top), method, box=across)
        if narrow is None:
            narrow = Image.new(strip.mode, (size[0], rows[1] - rows[0]))
        narrow.paste(strip, (0, top - rows[0]))
    if narrow is None:
        raise ValueError("the crop is empty")
    small = narrow.resize(size, method, box=(0, box[1] - rows[0], size[0], box[3] - rows[0]))
    return _blend_onto_white(small) if small.mode == "RGBa" else small.convert("RGB")


def _source_range(low: float, high: float, size: int, limit: int, resample: int) -> tuple[int, int]:
    """Return the range of rows or columns that a resize of `low`..`high` to `size` reads."""
    margin = _SUPPORT[resample] * max(1.0, (high - low) / size) + 1
    return max(0, math.floor(low - margin)), min(limit, math.ceil(high + margin))


def _to_plain_mode(strip: Image.Image) -> Image.Image:
    """Return a strip as RGB, L, or RGBa (premultiplied alpha)."""
    mode = strip.mode
    if mode.startswith("I"):
        return _from_16_bit(strip)
    if mode in {"LA", "PA", "RGBA", "La"} or "transparency" in strip.info:
        return strip.convert("RGBA").convert("RGBa")
    if mode in {"L", "RGB", "RGBa"}:
        return strip
    return strip.convert("L" if mode == "1" else "RGB")


def _from_16_bit(strip: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits: 65535 becomes 255. Pillow's own conversion would clip at 255."""
    values = np.asarray(strip).astype(np.uint32)
    return Image.fromarray(((np.minimum(values, 65535) + 128) // 257).astype(np.uint8))


def _blend_onto_white(image: Image.Image) -> Image.Image:
    """Blend an image of mode RGBa onto white."""
    pixels = np.asarray(image).astype(np.uint16)
    flat = pixels[:, :, :3] + (255 - pixels[:, :, 3:])
    return Image.fromarray(np.minimum(flat, 255).astype(np.uint8))
