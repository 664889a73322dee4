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
    """How to resize, crop and normalise an image. Sizes are in pixels.

    Exactly one of these is set: `shortest_edge`, which keeps the aspect ratio, or `exact`, (height, width), which
    does not. Then comes a centre crop to `crop`, (height, width). A pixel becomes
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
    """Parse a `preprocessor_config.json`.

    input_size: the side of the model's square input in pixels, or None if the model accepts any size.

    Raises ModelError with the reason ModelInvalid; the message names the field and what it should be.
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
        raise _invalid(f"gives the model {crop[0]}x{crop[1]} pixels, but the model's input is {expected}")
    resample = document.get("resample", BILINEAR)
    if isinstance(resample, bool) or resample not in range(6):
        raise _invalid(f"resample must be 0 to 5 (2 bilinear, 3 bicubic), not {resample!r}")
    rescale = document.get("rescale_factor", 1 / 255) if _flag(document, "do_rescale") else 1.0
    normalize = _flag(document, "do_normalize")
    mean = _channels(document, "image_mean", IMAGENET_MEAN) if normalize else (0.0, 0.0, 0.0)
    std = _channels(document, "image_std", IMAGENET_STD) if normalize else (1.0, 1.0, 1.0)
    if min(std) <= 0:
        raise _invalid(f"image_std must be positive, not {list(std)}")
    return Preprocessing(
        shortest_edge=shortest,
        exact=exact,
        crop=crop,
        resample=int(resample),
        rescale=_number("rescale_factor", rescale),
        mean=mean,
        std=std,
    )


def _geometry(
    document: dict[str, Any], input_size: int | None
) -> tuple[int | None, tuple[int, int] | None, tuple[int, int]]:
    """Return (shortest edge, exact height and width, crop height and width)."""
    size = document.get("size")
    if not _flag(document, "do_resize"):
        raise _invalid("do_resize must be true, because the images of requests can have any size")
    if isinstance(size, dict) and "shortest_edge" in size:
        shortest: int | None = _pixels("size.shortest_edge", size["shortest_edge"])
        exact = None
    elif isinstance(size, dict):
        shortest, exact = None, _pair("size", size)
    elif size is None and input_size is not None:
        shortest, exact = round(input_size * 256 / 224), None
    elif size is None:
        raise _invalid("size is missing: it is required, because the model's input can have any size")
    else:
        shortest, exact = _pixels("size", size), None
    crop_size = document.get("crop_size")
    if not _flag(document, "do_center_crop", default=crop_size is not None or shortest is not None):
        if exact is None:
            raise _invalid(
                "do_center_crop false requires size.height and size.width: otherwise images would keep their shape"
            )
        return None, exact, exact
    if crop_size is None:
        crop = exact or (input_size or shortest or 0, input_size or shortest or 0)
    elif isinstance(crop_size, dict):
        crop = _pair("crop_size", crop_size)
    else:
        crop = (_pixels("crop_size", crop_size),) * 2
    smallest = exact or (shortest or 0, shortest or 0)
    if crop[0] > smallest[0] or crop[1] > smallest[1]:
        raise _invalid(
            f"crop_size {crop[0]}x{crop[1]} does not fit into a resized image, "
            f"which can be as small as {smallest[0]}x{smallest[1]}"
        )
    return shortest, exact, crop


def _pair(name: str, value: dict[str, Any]) -> tuple[int, int]:
    if not {"height", "width"} <= set(value):
        expected = "shortest_edge, or height and width" if name == "size" else "height and width"
        raise _invalid(f"{name} must have {expected}; it has {sorted(value)}")
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
    red, green, blue = (_number(name, item) for item in value)
    return red, green, blue


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e6:
        raise _invalid(f"{name} must be a number between -1e6 and 1e6, not {value!r}")
    return float(value)


def _flag(document: dict[str, Any], name: str, *, default: bool = True) -> bool:
    value = document.get(name, default)
    if not isinstance(value, bool):
        raise _invalid(f"{name} must be true or false, not {value!r}")
    return value


def _invalid(message: str) -> ModelError:
    return ModelError(INVALID, f"preprocessor_config.json {message}")
