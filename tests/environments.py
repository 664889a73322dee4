"""Python environments of their own for programs that are not ours, whose requirements would hold others back."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_INSTALL_SECONDS = 500


def python_of(name: str) -> Path:
    """Return the Python of the environment that `requirements/NAME.txt` locks.

    It is made from the package registry, once for each state of the file; where that cannot be reached the test is
    skipped, which fails it under `CI`.
    """
    lock = ROOT / "requirements" / f"{name}.txt"
    folder = ROOT / "build" / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    python, complete = folder / "bin" / "python", folder / ".complete"
    if not complete.exists():
        uv = Path(sys.executable).with_name("uv")
        _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder)
        options = ("--quiet", "--only-binary", ":all:", "--require-hashes", "--requirement", lock)
        _run(uv, "pip", "install", "--python", python, "--compile-bytecode", *options)
        complete.touch()
    return python


def _run(*command: object) -> None:
    words = [str(part) for part in command]
    try:
        subprocess.run(words, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        cause = getattr(error, "stderr", None) or str(error)
        pytest.skip(f"the environment could not be made: {cause[-500:]}")
