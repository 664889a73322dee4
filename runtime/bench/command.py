"""How a measurement runs and ends: a folder for the run, and 2 with the cause where it cannot be done."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable


def run(measure: Callable[[Path], int]) -> int:
    """Return the exit status of `measure`, which is given an empty folder that is removed after it."""
    try:
        with tempfile.TemporaryDirectory(prefix="imageclassifier-bench-") as work:
            return measure(Path(work))
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
