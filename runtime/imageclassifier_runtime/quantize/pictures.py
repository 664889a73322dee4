"""Reads the photographs: finds and labels the files, selects those for calibration, and prepares their pixels."""

from __future__ import annotations

import csv
import dataclasses
import random
from typing import TYPE_CHECKING

import numpy as np

from imageclassifier_runtime.errors import RequestError, SettingsError, error_text
from imageclassifier_runtime.inference import decode, image_headers
from imageclassifier_runtime.inference.image_headers.formats import SUFFIXES
from imageclassifier_runtime.inference.preprocess import preprocess
from imageclassifier_runtime.settings.commands import ServeSettings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from imageclassifier_runtime.model.preprocessing import Preprocessing

MIN_PICTURES = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """An image file: its path relative to the folder, with `/` as separator, and its class index, if known."""

    name: str
    label: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
    """The input for the graph, [N, 3, S, S] float32 in a memory-mapped file, and the pictures in that order.

    `skipped` has the file and the cause of each picture that the server would reject.
    """

    batch: npt.NDArray[np.float32]
    pictures: tuple[Picture, ...]
    skipped: tuple[str, ...]


def find(folder: Path) -> list[Picture]:
    """Return the image files of a folder and its subfolders, sorted by name; raises SettingsError."""
    if not folder.is_dir():
        raise SettingsError(f"--pictures {folder} is not a folder")
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    if not names:
        raise SettingsError(f"--pictures {folder} contains no image files ({', '.join(sorted(SUFFIXES))})")
    return [Picture(name=name) for name in names]


def label_by_folder(pictures: Sequence[Picture], labels: Sequence[str]) -> list[Picture]:
    """Return the pictures with their folder's name as the class; raises SettingsError."""
    return [
        Picture(
            name=picture.name,
            label=_class_index(picture.name.rpartition("/")[0].rpartition("/")[2], labels, picture.name),
        )
        for picture in pictures
    ]


def label_by_file(pictures: Sequence[Picture], table: Path, labels: Sequence[str]) -> list[Picture]:
    """Return the pictures with their classes from a CSV file; raises SettingsError.

    Its column `file` has the picture's name, `class_index` or `label` the class.
    """
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"--labels {table} cannot be read: {error_text(error)}") from error
    columns = set(rows[0]) if rows else set()
    if "file" not in columns or not columns & {"class_index", "label"}:
        raise SettingsError(f"--labels {table} must have a header with `file`, and with `class_index` or `label`")
    known: dict[str, int] = {}
    for row in rows:
        value = row.get("class_index") or row.get("label") or ""
        known[str(row["file"])] = _class_index(value, labels, str(row["file"]))
    missing = [picture.name for picture in pictures if picture.name not in known]
    if missing:
        raise SettingsError(f"--labels {table} has no row for {len(missing)} pictures; the first is {missing[0]}")
    return [Picture(name=picture.name, label=known[picture.name]) for picture in pictures]


def _class_index(value: str, labels: Sequence[str], name: str) -> int:
    if value in labels:
        return labels.index(value)
    if value.isascii() and value.isdigit() and int(value) < len(labels):
        return int(value)
    raise SettingsError(f"{name}: {value!r} is neither one of the model's {len(labels)} labels nor a class index")


def split(
    pictures: Sequence[Picture], *, calibrate: int | Path, judge: int, seed: int
) -> tuple[list[Picture], list[Picture]]:
    """Return the pictures for calibration, and up to `judge` others for evaluation.

    `calibrate` is the number of pictures, selected at random with the seed, or a file that lists them, one per
    line. Raises SettingsError.
    """
    generator = random.Random(seed)  # noqa: S311
    if isinstance(calibrate, int):
        chosen = {picture.name for picture in generator.sample(list(pictures), min(calibrate, len(pictures)))}
    else:
        chosen = _read_names(calibrate, {picture.name for picture in pictures})
    others = [picture for picture in pictures if picture.name not in chosen]
    if len(others) > judge:
        kept = {picture.name for picture in generator.sample(others, judge)}
        others = [picture for picture in others if picture.name in kept]
    if min(len(chosen), len(others)) < MIN_PICTURES:
        raise SettingsError(
            f"{len(pictures)} pictures result in {len(chosen)} for calibration and {len(others)} for evaluation; "
            f"at least {MIN_PICTURES} of each are required, and about 100 of each for meaningful results: add "
            "pictures, or change --calibrate"
        )
    return [picture for picture in pictures if picture.name in chosen], others


def _read_names(file: Path, known: set[str]) -> set[str]:
    try:
        names = {line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"--calibrate {file} is neither a number nor a readable file: {error_text(error)}"
        ) from error
    if unknown := sorted(names - known):
        raise SettingsError(f"--calibrate {file} lists {unknown[0]!r}, which is not an image below --pictures")
    return names


def prepare(folder: Path, pictures: Sequence[Picture], preprocessing: Preprocessing, file: Path) -> Prepared:
    """Decode and preprocess pictures as the server does, one at a time, into a memory-mapped `file`.

    Pictures that the server would reject are skipped and reported; raises SettingsError if too few remain.
    """
    shape = (len(pictures), 3, *preprocessing.crop)
    batch = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
    kept: list[Picture] = []
    skipped: list[str] = []
    limits = ServeSettings()
    for picture in pictures:
        try:
            header = image_headers.read((folder / picture.name).read_bytes())
            image_headers.check_limits(header, max_pixels=limits.max_image_pixels, max_side=limits.max_image_side)
            batch[len(kept)] = preprocess(decode.decode(header), header.orientation, preprocessing)[0]
        except RequestError as error:
            skipped.append(f"{picture.name}: {error.detail}")
            continue
        kept.append(picture)
    if len(kept) < MIN_PICTURES:
        raise SettingsError(
            f"only {len(kept)} of {len(pictures)} pictures can be read; the first error: {skipped[0]}"
        )
    return Prepared(batch=batch[: len(kept)], pictures=tuple(kept), skipped=tuple(skipped))
