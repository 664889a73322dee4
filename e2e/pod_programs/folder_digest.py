"""Prints the digest of a model's folder, as `spec.model.sha256` has it."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

NAMES = ("labels.txt", "model.int8.onnx", "model.onnx", "preprocessor_config.json", "quantization.json")


def main(folder: str) -> None:
    """Print it."""
    found = [path for path in (Path(folder) / name for name in NAMES) if path.is_file()]
    lines = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in found)
    print(hashlib.sha256(lines.encode()).hexdigest())


if __name__ == "__main__":
    main(*sys.argv[1:])
