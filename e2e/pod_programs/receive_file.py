"""Stores its input as a file in a folder, which shows only whole files."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def main(folder: str, name: str) -> None:
    """Store it; the name may have folders."""
    path, new = Path(folder) / name, Path(folder) / ".new"
    path.parent.mkdir(parents=True, exist_ok=True)
    with new.open("wb") as out:
        shutil.copyfileobj(sys.stdin.buffer, out)
    new.rename(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
