"""Unpacks its input, a tar file, into a folder, and then creates an empty file there."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path


def main(folder: str, complete: str) -> None:
    """Unpack it; `complete` is the name of the empty file."""
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
        archive.extractall(folder)  # noqa: S202 - the scenarios create the archive
    (Path(folder) / complete).touch()


if __name__ == "__main__":
    main(*sys.argv[1:])
