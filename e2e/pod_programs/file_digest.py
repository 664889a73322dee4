"""Prints the sha256 of a file, or "absent"."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path


def main(file: str) -> None:
    """Print it."""
    path = Path(file)
    print(hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "absent")


if __name__ == "__main__":
    main(*sys.argv[1:])
