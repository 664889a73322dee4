"""Writes a file of that many MiB."""

from __future__ import annotations

import sys
from pathlib import Path


def main(file: str, mebibytes: str) -> None:
    """Write it."""
    with Path(file).open("wb") as out:
        out.writelines(bytes(1 << 20) for _ in range(int(mebibytes)))


if __name__ == "__main__":
    main(*sys.argv[1:])
