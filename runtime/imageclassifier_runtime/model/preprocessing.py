"""Parses and validates a model's preprocessing, `preprocessor_config.json` with Hugging Face's field names."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from imageclassifier_runtime.errors import INVALID, ModelError

NEAREST, LANCZOS, BILINEAR, BICUBIC, BOX, HAMMING = range(6)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Resize, crop and normalise, in pixels of the resized image.

    Either `shortest_edge` is set (aspect ratio kept, then a centre crop of `crop` = (height, width)), or
    `exact` = (height, width) (aspect ratio not kept, then `crop`). A pixel becomes
    `(value * rescale - mean) / std`, per channel in the order RGB.
    """

    shortest_edge: int | None
    exact: tuple[int, int] | None
    crop: tuple[int, int]
    resample: int = BILINEAR
    rescale: float = 1 / 255
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def to_json(self) -> str:
        """Return the document; `parse` reads it back to the same value."""
        size = (
            {"shortest_edge": self.shortest_edge}
            if self.exact is None
            else {"height": self.exact[0], "width": self.exact[1]}
        )
        document = {
            "do_resize": True,
            "size": size,
            "do_center_crop": True,
            "crop_size": {"height": self.crop[0], "width": self.crop[1]},
            "resample": self.resample,
            "do_rescale": True,
            "rescale_factor": self.rescale,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }
        return json.dumps(document, indent=2) + "\n"


def imagenet(input_size: int) -> Preprocessing:
    """Return the usual ImageNet preprocessing for a model with square input of `input_size` pixels."""
    return Preprocessing(shortest_edge=round(input_size * 256 / 224), exact=None, crop=(input_size, input_size))


def parse(text: str, *, input_size: int | None) -> Preprocessing:
    """Parse a `preprocessor_config.json`; `input_size` is the graph's input size, if it is fixed.

    Raises ModelError (ModelInvalid) that names the field and what it should be.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _invalid(f"is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise _invalid("must be a JSON object")
    shortest, exact, crop = _geometry(document, input_size)
    if crop[0] != crop[1] or (input_size is not None and crop[0] != input_size):
        expected = f"{input_size}x{input_size}" if input_size else "a square"
        raise _invalid(f"gives the model {crop[0]}x{crop[1]} pixels, but its input is {expected}")
    resample = document.get("resample", BILINEAR)
    if isinstance(resample, bool) or resample not in range(6):
        raise _invalid(f"resample must be 0 to 5 (2 bilinear, 3 bicubic), not {resample!r}")
    rescale = document.get("rescale_factor", 1 / 255) if _switch(document, "do_rescale") else 1.0
    normalize = _switch(document, "do_normalize")
    mean = _channels(document, "image_mean", IMAGENET_MEAN) if normalize else (0.0, 0.0, 0.0)
    std = _channels(document, "image_std", IMAGENET_STD) if normalize else (1.0, 1.0, 1.0)
    if min(std) <= 0:
        raise _invalid(f"image_std must be positive, not {list(std)}")
    return Preprocessing(
        shortest_edge=shortest,
        exact=exact,
        crop=crop,
        resample=int(resample),
        rescale=_finite("rescale_factor", rescale),
        mean=mean,
        std=std,
    )


def _geometry(
    document: dict[str, Any], input_size: int | None
) -> tuple[int | None, tuple[int, int] | None, tuple[int, int]]:
    """Return (shortest edge, exact height and width, crop height and width)."""
    size = document.get("size")
    if not _switch(document, "do_resize"):
        raise _invalid("do_resize false is not supported: images come in every size")
    if isinstance(size, dict) and "shortest_edge" in size:
        shortest: int | None = _pixels("size.shortest_edge", size["shortest_edge"])
        exact = None
    elif isinstance(size, dict):
        shortest, exact = None, _pair("size", size)
    elif size is None and input_size is not None:
        shortest, exact = round(input_size * 256 / 224), None
    else:
        shortest, exact = _pixels("size", size), None
    crop_size = document.get("crop_size")
    if not _switch(document, "do_center_crop", default=crop_size is not None or shortest is not None):
        if exact is None:
            raise _invalid("do_center_crop false needs size with height and width, or images keep their shape")
        return None, exact, exact
    if crop_size is None:
        fallback = exact or (input_size or shortest or 0, input_size or shortest or 0)
        crop = fallback
    elif isinstance(crop_size, dict):
        crop = _pair("crop_size", crop_size)
    else:
        crop = (_pixels("crop_size", crop_size),) * 2
    resized = exact or (shortest or 0, shortest or 0)
    if crop[0] > resized[0] or crop[1] > resized[1]:
        raise _invalid(
            f"crop_size {crop[0]}x{crop[1]} is larger than the resized image ({resized[0]}x{resized[1]})"
        )
    return shortest, exact, crop


def _pair(name: str, value: dict[str, Any]) -> tuple[int, int]:
    if not {"height", "width"} <= set(value):
        raise _invalid(f"{name} must have shortest_edge, or height and width; it has {sorted(value)}")
    return _pixels(f"{name}.height", value["height"]), _pixels(f"{name}.width", value["width"])


def _pixels(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 4096:
        raise _invalid(f"{name} must be a whole number of pixels from 1 to 4096, not {value!r}")
    return value


def _channels(
    document: dict[str, Any], name: str, default: tuple[float, float, float]
) -> tuple[float, float, float]:
    value = document.get(name, default)
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise _invalid(f"{name} must be a list of 3 numbers, not {value!r}")
    red, green, blue = (_finite(name, item) for item in value)
    return red, green, blue


def _finite(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e6:
        raise _invalid(f"{name} must be a number, not {value!r}")
    return float(value)


def _switch(document: dict[str, Any], name: str, *, default: bool = True) -> bool:
    value = document.get(name, default)
    if not isinstance(value, bool):
        raise _invalid(f"{name} must be true or false, not {value!r}")
    return value


def _invalid(message: str) -> ModelError:
    return ModelError(INVALID, f"preprocessor_config.json {message}")
