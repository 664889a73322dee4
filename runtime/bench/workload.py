"""What is served and what is sent: a complete model folder and a folder of JPEG files, both for this run alone."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from runtime.bench.errors import BenchError

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("IMAGECLASSIFIER_SHARED", REPOSITORY.parent / "shared"))
IMAGENET_MODEL = SHARED / "models" / "mobilenet_v2_1.0_224.onnx"
PHOTOGRAPHS = SHARED / "data" / "imagenet-300"
GRAPHS = {"FP32": "model.onnx", "INT8": "model.int8.onnx"}
MODEL_INFO = "model_info.json"
_SECONDS = 600


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """A model folder with labels and preprocessing, the precisions it holds, and the pictures."""

    folder: Path
    pictures: Path
    precisions: tuple[str, ...]
    model: str
    picture_facts: dict[str, Any]

    def graph(self, precision: str) -> Path:
        """Return the ONNX file of one precision."""
        return self.folder / GRAPHS[precision]

    def describe(self) -> str:
        """Return one line for people."""
        facts = self.picture_facts
        return (
            f"{self.model} ({', '.join(self.precisions)}); {facts['count']} {facts['kind']}, "
            f"{facts['width']}x{facts['height']} JPEG, {facts['mean_bytes'] / 1000:.0f} KB each"
        )


def prepare(work: Path, *, model: Path | None, photographs: Path | None, wanted: tuple[str, ...]) -> Workload:
    """Fill `work` and return what is there; raises BenchError.

    Without a model: ImageNet's MobileNetV2 where the shared files are, else the bundled model. Without
    photographs: ImageNet's where they are, else pictures made here. A precision that the folder does not hold is
    left out.
    """
    source = model or (IMAGENET_MODEL if IMAGENET_MODEL.is_file() else None)
    name = _python("runtime.bench.model", [str(work / "model"), *([str(source)] if source else [])])["name"]
    folder = work / "model"
    if photographs is not None and not photographs.is_dir():
        raise BenchError(f"{photographs} is no folder of photographs")
    if photographs is None and PHOTOGRAPHS.is_dir():
        photographs = PHOTOGRAPHS
    pictures = work / "pictures"
    facts = _python(
        "runtime.bench.pictures", [str(pictures), *(["--photographs", str(photographs)] if photographs else [])]
    )
    held = tuple(precision for precision in wanted if (folder / GRAPHS[precision]).is_file())
    if not held:
        raise BenchError(f"{source or 'the bundled model'} holds none of {', '.join(wanted)}")
    return Workload(folder=folder, pictures=pictures, precisions=held, model=name, picture_facts=facts)


def copy_folder(source: Path, folder: Path) -> None:
    """Copy the files of a model folder, or a bare graph as its `model.onnx`; raises BenchError."""
    folder.mkdir(parents=True)
    if source.is_file():
        shutil.copy(source, folder / GRAPHS["FP32"])
    elif (source / GRAPHS["FP32"]).is_file():
        for file in source.iterdir():
            if file.is_file():
                shutil.copy(file, folder / file.name)
    else:
        raise BenchError(f"{source} is neither an ONNX file nor a folder with a {GRAPHS['FP32']}")


def _python(module: str, arguments: list[str]) -> dict[str, Any]:
    """Run one of our modules in a process of its own and return the JSON it prints."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    if done.returncode != 0:
        raise BenchError(f"{module} failed:\n{done.stderr.strip()[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
