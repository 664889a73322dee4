"""Reads the training data: an archive of small JPEGs, train/<class>/*.jpg and test/<class>/*.jpg, into arrays."""

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32


class DatasetError(ValueError):
    """The archive does not have the expected layout."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One picture as stored in the archive."""

    split: str
    name: str
    label: int
    jpeg: bytes


def label_of(name: str) -> tuple[str, int]:
    """Split and class number from a member's name, such as test/cat/0007.jpg."""
    parts = PurePosixPath(name).parts
    if len(parts) != 3 or parts[0] not in {"train", "test"} or parts[1] not in CLASSES:
        raise DatasetError(f"{name}: expected train/<class>/<file> or test/<class>/<file>, class one of {CLASSES}")
    return parts[0], CLASSES.index(parts[1])


def read_examples(archive: Path, split: str) -> list[Example]:
    """All pictures of one split, sorted by name."""
    examples = []
    with tarfile.open(archive) as tar:
        for member in tar:
            if not member.isfile() or not member.name.endswith(".jpg"):
                continue
            found, label = label_of(member.name)
            if found != split:
                continue
            content = tar.extractfile(member)
            assert content is not None
            examples.append(Example(split=found, name=member.name, label=label, jpeg=content.read()))
    if not examples:
        raise DatasetError(f"{archive} has no pictures under {split}/")
    return sorted(examples, key=lambda example: example.name)


def decoded(examples: list[Example]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Pixels [n, 32, 32, 3] and class numbers [n]."""
    pixels = np.empty((len(examples), SIDE, SIDE, 3), dtype=np.uint8)
    for index, example in enumerate(examples):
        with Image.open(io.BytesIO(example.jpeg)) as picture:
            if picture.size != (SIDE, SIDE):
                raise DatasetError(f"{example.name}: {picture.size} pixels, expected {SIDE} x {SIDE}")
            pixels[index] = np.asarray(picture.convert("RGB"))
    return pixels, np.array([example.label for example in examples], dtype=np.int64)
