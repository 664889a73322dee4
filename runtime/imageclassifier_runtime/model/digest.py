"""Digests of models: a file's sha256, or for a folder the sha256 of its sorted `sha256sum` lines."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MODEL_FILES = ("labels.txt", "model.int8.onnx", "model.onnx", "preprocessor_config.json", "quantization.json")


def of_file(path: Path) -> str:
    """Return the sha256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_folder(path: Path) -> str:
    """Return the digest of a model folder: of those of its five model files that are there.

    The same as `cd FOLDER && sha256sum labels.txt model.onnx preprocessor_config.json | sha256sum`, with
    `model.int8.onnx` and `quantization.json` in their places by the alphabet where the folder holds them.
    """
    lines = [f"{of_file(path / name)}  {name}\n" for name in sorted(MODEL_FILES) if (path / name).is_file()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
