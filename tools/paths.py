"""Paths of the repository and of the cache."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def cache_dir() -> Path:
    """The folder for everything slow to download or build: programs, base image, wheels."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "imageclassifier"
