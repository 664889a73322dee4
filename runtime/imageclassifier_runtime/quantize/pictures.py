"""The photographs: which files there are, what is on them, which are for calibration, and their pixels."""

from __future__ import annotations

import csv
import dataclasses
import random
from typing import TYPE_CHECKING

import numpy as np

from imageclassifier_runtime.errors import RequestError, SettingsError
from imageclassifier_runtime.inference import decode, image_headers
from imageclassifier_runtime.inference.image_headers.formats import SUFFIXES
from imageclassifier_runtime.inference.preprocess import preprocess
from imageclassifier_runtime.settings.commands import ServeSettings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from imageclassifier_runtime.model.preprocessing import Preprocessing

LEAST = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """A file, by its path below the folder with `/` between the parts, and its class where that is known."""

    name: str
    label: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
    """Pictures ready for the graph, [N, 3, S, S] float32 in a file, which they are, and what was left out."""

    batch: npt.NDArray[np.float32]
    pictures: tuple[Picture, ...]
    left_out: tuple[str, ...]


def find(folder: Path) -> list[Picture]:
    """Return the image files anywhere below a folder, in the order of their names; raises SettingsError."""
    if not folder.is_dir():
        raise SettingsError(f"--pictures {folder} is not a folder")
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    if not names:
        raise SettingsError(f"--pictures {folder} holds no image file ({', '.join(sorted(SUFFIXES))})")
    return [Picture(name=name) for name in names]


def label_by_folder(pictures: Sequence[Picture], labels: Sequence[str]) -> list[Picture]:
    """Return the pictures with the class that their folder is named after; raises SettingsError."""
    return [
        Picture(
            name=picture.name,
            label=_class(picture.name.rpartition("/")[0].rpartition("/")[2], labels, picture.name),
        )
        for picture in pictures
    ]


def label_by_file(pictures: Sequence[Picture], table: Path, labels: Sequence[str]) -> list[Picture]:
    """Return the pictures with the class that a CSV file gives them in `class_index` or `label`, by its `file`."""
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"--labels {table} cannot be read: {error}") from error
    columns = set(rows[0]) if rows else set()
    if "file" not in columns or not columns & {"class_index", "label"}:
        raise SettingsError(f"--labels {table} needs a first line with `file` and with `class_index` or `label`")
    known: dict[str, int] = {}
    for row in rows:
        value = row.get("class_index") or row.get("label") or ""
        known[str(row["file"])] = _class(value, labels, str(row["file"]))
    missing = [picture.name for picture in pictures if picture.name not in known]
    if missing:
        raise SettingsError(f"--labels {table} has no line for {len(missing)} pictures, {missing[0]} the first")
    return [Picture(name=picture.name, label=known[picture.name]) for picture in pictures]


def _class(value: str, labels: Sequence[str], name: str) -> int:
    if value in labels:
        return labels.index(value)
    if value.isascii() and value.isdigit() and int(value) < len(labels):
        return int(value)
    raise SettingsError(
        f"{name}: {value!r} is neither one of the model's {len(labels)} labels nor the number of one"
    )


def split(
    pictures: Sequence[Picture], *, calibrate: int | Path, judge: int, seed: int
) -> tuple[list[Picture], list[Picture]]:
    """Return the pictures to calibrate with, and up to `judge` of the others; no picture is in both.

    `calibrate` is how many, drawn by the seed, or a file that names them, one a line. Raises SettingsError.
    """
    draw = random.Random(seed)  # noqa: S311
    if isinstance(calibrate, int):
        chosen = {picture.name for picture in draw.sample(list(pictures), min(calibrate, len(pictures)))}
    else:
        chosen = _listed(calibrate, {picture.name for picture in pictures})
    others = [picture for picture in pictures if picture.name not in chosen]
    if len(others) > judge:
        kept = {picture.name for picture in draw.sample(others, judge)}
        others = [picture for picture in others if picture.name in kept]
    if min(len(chosen), len(others)) < LEAST:
        raise SettingsError(
            f"{len(pictures)} pictures give {len(chosen)} to calibrate with and {len(others)} to judge by; at "
            f"least {LEAST} of each are needed, and a hundred of each say something: give more pictures, or set "
            "--calibrate"
        )
    return [picture for picture in pictures if picture.name in chosen], others


def _listed(file: Path, known: set[str]) -> set[str]:
    try:
        names = {line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"--calibrate {file} is neither a number nor a file that can be read: {error}"
        ) from error
    if unknown := sorted(names - known):
        raise SettingsError(f"--calibrate {file} names {unknown[0]!r}, which is no picture below --pictures")
    return names


def prepare(folder: Path, pictures: Sequence[Picture], how: Preprocessing, file: Path) -> Prepared:
    """Decode and prepare pictures as the server does, into a file, so that memory holds one at a time.

    Pictures that the server would refuse are left out and named.
    """
    shape = (len(pictures), 3, *how.crop)
    batch = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
    kept: list[Picture] = []
    left_out: list[str] = []
    limits = ServeSettings()
    for picture in pictures:
        try:
            header = image_headers.read((folder / picture.name).read_bytes())
            image_headers.check_limits(header, max_pixels=limits.max_image_pixels, max_side=limits.max_image_side)
            batch[len(kept)] = preprocess(decode.decode(header), header.orientation, how)[0]
        except RequestError as error:
            left_out.append(f"{picture.name}: {error.detail}")
            continue
        kept.append(picture)
    if len(kept) < LEAST:
        raise SettingsError(
            f"only {len(kept)} of {len(pictures)} pictures can be read; the first cause: {left_out[0]}"
        )
    return Prepared(batch=batch[: len(kept)], pictures=tuple(kept), left_out=tuple(left_out))
