"""Preprocessing equals a simple reference pipeline: open, turn upright, flatten, resize, crop."""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from imageclassifier_runtime.errors import ModelError
from imageclassifier_runtime.inference import preprocess
from imageclassifier_runtime.model import preprocessing
from PIL import Image, ImageOps

from e2e.scenarios.hostile_bytes import encoded, exif, picture

if TYPE_CHECKING:
    from imageclassifier_runtime.model.preprocessing import Preprocessing

SIZES = [(500, 375), (375, 500), (224, 224), (101, 997), (31, 17), (1, 1), (3000, 40)]
HOW = preprocessing.imagenet(64)


def plain(image: Image.Image, how: Preprocessing) -> Image.Image:
    """Resize the whole image, then crop: the reference."""
    if how.exact is not None:
        height, width = how.exact
    else:
        assert how.shortest_edge is not None
        short = min(image.size)
        width, height = (how.shortest_edge * side // short for side in image.size)
    resized = image.resize((width, height), Image.Resampling(how.resample))
    top, left = (height - how.crop[0]) // 2, (width - how.crop[1]) // 2
    return resized.crop((left, top, left + how.crop[1], top + how.crop[0]))


def difference(one: Image.Image, other: Image.Image) -> int:
    assert one.size == other.size
    return int(np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int)).max())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resample", [0, 1, 2, 3])
def test_one_step_equals_resize_then_crop(size: tuple[int, int], resample: int) -> None:
    how = dataclasses.replace(HOW, resample=resample)
    image = picture(size=size)
    # One step in 255 can come from rounding of the box; nearest may step to the next pixel at a tie.
    limit = 1 if resample else 255
    got, want = preprocess.crop_resized(image, 1, how), plain(image, how)
    assert difference(got, want) <= limit
    assert np.mean(np.asarray(got) != np.asarray(want)) < 0.02


def test_an_exact_size_does_not_keep_the_aspect() -> None:
    how = dataclasses.replace(HOW, shortest_edge=None, exact=(80, 70))
    image = picture(size=(200, 100))
    assert difference(preprocess.crop_resized(image, 1, how), plain(image, how)) <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(90, 61), (61, 90)])
def test_orientation_is_applied_as_pillow_does(orientation: int, size: tuple[int, int]) -> None:
    turned = Image.open(io.BytesIO(encoded(picture(size=size), "PNG", exif=exif(orientation))))
    want = plain(ImageOps.exif_transpose(turned), HOW)
    assert difference(preprocess.crop_resized(picture(size=size), orientation, HOW), want) <= 2


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "LA", "RGBA", "I;16", "YCbCr"])
def test_strips_give_the_same_result_as_the_whole_image(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.new("I;16", (300, 200), 30_000) if mode == "I;16" else picture("RGB", (300, 200)).convert(mode)
    whole = preprocess.crop_resized(image, 1, HOW)
    monkeypatch.setattr(preprocess, "_STRIP_PIXELS", 1000)
    assert difference(preprocess.crop_resized(image, 1, HOW), whole) == 0


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "L", "YCbCr"])
def test_opaque_modes_are_converted_as_pillow_does(mode: str) -> None:
    image = picture("RGB", (300, 200)).convert(mode)
    assert difference(preprocess.crop_resized(image, 1, HOW), plain(image.convert("RGB"), HOW)) <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_blended_onto_white(mode: str) -> None:
    image = picture("RGBA", (300, 200)).convert(mode)
    white = Image.new("RGBA", image.size, "white")
    want = plain(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"), HOW)
    assert difference(preprocess.crop_resized(image, 1, HOW), want) <= 2


def test_a_transparent_palette_colour_is_white() -> None:
    image = Image.open(io.BytesIO(encoded(Image.new("P", (9, 9), 0), "GIF", transparency=0)))
    assert preprocess.crop_resized(image, 1, HOW).getcolors() == [(64 * 64, (255, 255, 255))]


@pytest.mark.parametrize(("value", "grey"), [(0, 0), (257, 1), (32896, 128), (65535, 255)])
def test_16_bit_grey_is_scaled_not_clipped(value: int, grey: int) -> None:
    small = preprocess.crop_resized(Image.new("I;16", (9, 9), value), 1, HOW)
    assert small.getpixel((5, 5)) == (grey, grey, grey)


def test_normalised_values_are_channels_first_and_scaled() -> None:
    how = dataclasses.replace(HOW, crop=(1, 1), rescale=1 / 255, mean=(0.5, 0.0, 0.25), std=(0.5, 1.0, 0.25))
    batch = preprocess.normalise(np.array([[[255, 0, 255]]], np.uint8), how)
    assert batch.shape == (1, 3, 1, 1)
    assert batch.dtype == np.float32
    assert batch[0, :, 0, 0].tolist() == pytest.approx([1.0, 0.0, 3.0])


def test_a_configuration_round_trips() -> None:
    for how in (HOW, dataclasses.replace(HOW, shortest_edge=None, exact=(70, 80))):
        assert preprocessing.parse(how.to_json(), input_size=64) == how


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("not json", "not JSON"),
        ("[]", "object"),
        ('{"size": {"shortest_edge": 0}}', "size.shortest_edge"),
        ('{"size": {"longest_edge": 9}}', "height and width"),
        ('{"size": 64, "crop_size": 65}', "does not fit into"),
        ('{"size": 64, "crop_size": 32}', "32x32"),
        ('{"size": 64, "resample": 9}', "resample"),
        ('{"size": 64, "image_mean": [1, 2]}', "image_mean"),
        ('{"size": 64, "image_std": [1, 0, 1]}', "image_std"),
        ('{"size": 64, "rescale_factor": "x"}', "rescale_factor"),
        ('{"size": 64, "do_resize": false}', "do_resize"),
        ('{"size": 64, "do_normalize": 1}', "do_normalize"),
    ],
)
def test_a_bad_configuration_names_the_field(text: str, hint: str) -> None:
    with pytest.raises(ModelError, match=hint):
        preprocessing.parse(text, input_size=64)
