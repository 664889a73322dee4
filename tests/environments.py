"""Separate Python environments for third-party programs whose requirements conflict with the project's."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tools.guards import hold_lock

ROOT = Path(__file__).parents[1]
_INSTALL_SECONDS = 500


def python_of(name: str) -> Path:
    """Return the Python of the environment that `requirements/NAME.txt` locks.

    The environment is installed from the package registry, once for each content of the file. If the registry is
    unreachable, the test is skipped, which is a failure with `CI` set.
    """
    lock = ROOT / "requirements" / f"{name}.txt"
    folder = ROOT / "build" / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    python, complete = folder / "bin" / "python", folder / ".complete"
    folder.parent.mkdir(exist_ok=True)
    with hold_lock(folder.with_suffix(".lock"), f"installing {name}"):  # tests run in several processes
        if not complete.exists():
            uv = Path(sys.executable).with_name("uv")
            _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder)
            options = ("--quiet", "--only-binary", ":all:", "--require-hashes", "--requirement", lock)
            _run(uv, "pip", "install", "--python", python, "--compile-bytecode", *options)
            complete.touch()
    return python


def _run(*command: object) -> None:
    arguments = [str(part) for part in command]
    try:
        subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        cause = getattr(error, "stderr", None) or str(error)
        pytest.skip(f"the environment could not be created: {cause[-500:]}")
