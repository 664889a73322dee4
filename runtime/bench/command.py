"""Runs a measurement in a temporary folder; a BenchError is printed and gives exit status 2."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable


def run(measure: Callable[[Path], int]) -> int:
    """Return the exit status of `measure`, which gets an empty temporary folder."""
    try:
        with tempfile.TemporaryDirectory(prefix="imageclassifier-bench-") as work:
            return measure(Path(work))
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
