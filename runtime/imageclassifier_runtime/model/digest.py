"""Digests of models: a file's sha256, or for a folder the sha256 of its sorted `sha256sum` lines."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import DIGEST_MISMATCH, ModelError

if TYPE_CHECKING:
    from pathlib import Path

MODEL_FILES = ("labels.txt", "model.int8.onnx", "model.onnx", "preprocessor_config.json", "quantization.json")


def of_file(path: Path) -> str:
    """Return the sha256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_folder(path: Path) -> str:
    """Return the digest of a model folder; see FileDigests."""
    return FileDigests(path).of_folder()


def verify(actual: str, expected: str) -> None:
    """Raise ModelError if a model has another digest than the expected one."""
    if actual != expected:
        raise ModelError(DIGEST_MISMATCH, f"expected sha256 {expected}, got {actual}")


class FileDigests:
    """The digests of a folder's files; each is computed once, on first use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, str] = {}

    def of_file(self, name: str) -> str:
        """Return the sha256 of the file with this name."""
        if name not in self._known:
            self._known[name] = of_file(self.folder / name)
        return self._known[name]

    def of_folder(self) -> str:
        """Return the digest of the folder, over those of its five model files that exist.

        The same as `cd FOLDER && sha256sum labels.txt model.onnx preprocessor_config.json | sha256sum`, with
        `model.int8.onnx` and `quantization.json` in alphabetical order if they exist.
        """
        names = [name for name in sorted(MODEL_FILES) if (self.folder / name).is_file()]
        lines = "".join(f"{self.of_file(name)}  {name}\n" for name in names)
        return hashlib.sha256(lines.encode()).hexdigest()
