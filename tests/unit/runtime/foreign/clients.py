"""An environment for clients that are not ours, made once per lock file from the package registry.

They have requirements of their own (KServe's client comes with its server), so they are kept out of `.venv`.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]
LOCK = ROOT / "requirements" / "clients.txt"
HERE = Path(__file__).parent


def python_of_clients() -> Path:
    """Return the environment's Python; skips where the registry cannot be reached."""
    folder = ROOT / "build" / f"clients-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    python, complete = folder / "bin" / "python", folder / ".complete"
    if not complete.exists():
        uv = Path(sys.executable).with_name("uv")
        _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder)
        options = ("--quiet", "--only-binary", ":all:", "--require-hashes", "--requirement", LOCK)
        _run(uv, "pip", "install", "--python", python, "--compile-bytecode", *options)
        complete.touch()
    return python


def calls(script: str, *arguments: object) -> dict[str, Any]:
    """Run one of the scripts beside this file with the clients' Python, and return what it prints."""
    command = [str(part) for part in (python_of_clients(), HERE / script, *arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"the foreign clients could not be installed: {done.stderr[-500:]}")
