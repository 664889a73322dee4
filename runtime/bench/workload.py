"""Prepares the workload of a run: a complete copy of a model folder, and a folder of JPEG files."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.bench.child import run_module
from runtime.bench.errors import BenchError
from tools.paths import REPOSITORY

if TYPE_CHECKING:
    import argparse

SHARED = Path(os.environ.get("IMAGECLASSIFIER_SHARED", REPOSITORY.parent / "shared"))
IMAGENET_MODEL = SHARED / "models" / "mobilenet_v2_1.0_224.onnx"
PHOTOGRAPHS = SHARED / "data" / "imagenet-300"
GRAPHS = {"FP32": "model.onnx", "INT8": "model.int8.onnx"}
_SECONDS = 600


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """A model folder with labels and preprocessing, its precisions, and the pictures."""

    folder: Path
    pictures: Path
    precisions: tuple[str, ...]
    model: str
    picture_facts: dict[str, Any]

    def graph(self, precision: str) -> Path:
        """Return the ONNX file of one precision."""
        return self.folder / GRAPHS[precision]

    def describe(self) -> str:
        """Return a description in one line."""
        facts = self.picture_facts
        return (
            f"{self.model} ({', '.join(self.precisions)}); {facts['count']} {facts['kind']}, "
            f"{facts['width']}x{facts['height']} JPEG, {facts['mean_bytes'] / 1000:.0f} KB each"
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for another model and other photographs."""
    model_help = "model folder or ONNX file (if not set: ImageNet's MobileNetV2, or else the bundled model)"
    parser.add_argument("--model", type=Path, metavar="PATH", help=model_help)
    parser.add_argument(
        "--photographs",
        type=Path,
        metavar="FOLDER",
        help="folder with photographs, of which the 500x375 JPEG files are sent",
    )


def prepare(work: Path, *, model: Path | None, photographs: Path | None, precisions: tuple[str, ...]) -> Workload:
    """Write the workload to the folder `work` and return it; raises BenchError.

    The default model is ImageNet's MobileNetV2 if the shared files exist, else the bundled model. The default
    photographs are ImageNet's if they exist, else generated pictures. Precisions that the model folder does not
    have are skipped.
    """
    source = model or (IMAGENET_MODEL if IMAGENET_MODEL.is_file() else None)
    name = run_module(
        "runtime.bench.model", [str(work / "model"), *([str(source)] if source else [])], seconds=_SECONDS
    )["name"]
    folder = work / "model"
    if photographs is not None and not photographs.is_dir():
        raise BenchError(f"{photographs} is not a folder")
    if photographs is None and PHOTOGRAPHS.is_dir():
        photographs = PHOTOGRAPHS
    pictures = work / "pictures"
    facts = run_module(
        "runtime.bench.pictures",
        [str(pictures), *(["--photographs", str(photographs)] if photographs else [])],
        seconds=_SECONDS,
    )
    available = tuple(precision for precision in precisions if (folder / GRAPHS[precision]).is_file())
    if not available:
        raise BenchError(f"{source or 'the bundled model'} has none of {', '.join(precisions)}")
    return Workload(folder=folder, pictures=pictures, precisions=available, model=name, picture_facts=facts)


def copy_folder(source: Path, folder: Path) -> None:
    """Copy the files of a model folder, or a single ONNX file as `model.onnx`; raises BenchError."""
    folder.mkdir(parents=True)
    if source.is_file():
        shutil.copy(source, folder / GRAPHS["FP32"])
    elif (source / GRAPHS["FP32"]).is_file():
        for file in source.iterdir():
            if file.is_file():
                shutil.copy(file, folder / file.name)
    else:
        raise BenchError(f"{source} is neither an ONNX file nor a folder with a {GRAPHS['FP32']}")
