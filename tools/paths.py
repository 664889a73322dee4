"""Where the repository is, and where downloads and builds are cached."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def cache_dir() -> Path:
    """Programs, base image, wheels: everything that is slow to get and safe to keep."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "imageclassifier"
