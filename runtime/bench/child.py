"""Runs a module in a separate process, so that the driver does not load its imports."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from runtime.bench.errors import BenchError
from tools.paths import REPOSITORY


def run_module(module: str, arguments: list[str], *, seconds: float, stdin: str | None = None) -> dict[str, Any]:
    """Return the JSON of its last output line; `stdin` is its standard input. Raises BenchError."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=REPOSITORY,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"{module} did not finish in time") from None
    if done.returncode != 0:
        raise BenchError(f"{module} failed:\n{done.stderr.strip()[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
