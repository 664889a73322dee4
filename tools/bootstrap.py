"""Creates the virtual environment in which all other commands run.

Any Python can run this file, before anything is installed, so it uses only the standard library.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools import apt
from tools.errors import ToolError
from tools.images.wheels import select
from tools.paths import REPOSITORY
from tools.steps import Progress, step

VENV = REPOSITORY / ".venv"
LOCK = REPOSITORY / "requirements" / "dev.txt"
PROJECT = REPOSITORY / "pyproject.toml"
DEBIAN_PYTHON = Path("/usr/bin/python3.11")
_OTHER_PYTHONS = ("python3.11", "python3.12", "python3.13", "python3.14", "python3")
_PROGRAMS = ("kubectl", "pytest", "python", "uv")
"""Programs that other commands run; if one is missing, the packages are installed again."""
_PIP = ("-m", "pip", "--disable-pip-version-check", "install")


def main() -> int:
    """Bring `.venv` up to date with the lock file and pyproject.toml, if it is not."""
    try:
        if not _stamp("lock", LOCK).exists() or not all((VENV / "bin" / name).exists() for name in _PROGRAMS):
            _install_locked()
        if not _stamp("project", PROJECT).exists():
            _install_project()
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _stamp(name: str, file: Path) -> Path:
    """An empty file in the environment; its name has the digest of the file that was installed from."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return VENV / f".installed-{name}-{digest}"


def _mark(name: str, file: Path) -> None:
    _unmark(name)
    _stamp(name, file).touch()


def _unmark(name: str) -> None:
    for old in VENV.glob(f".installed-{name}-*"):
        old.unlink()


def _install_locked() -> None:
    python = VENV / "bin" / "python"
    if not _has_module(python, "pip"):
        base = find_python()
        with step(f"Creating .venv with {base}"):
            _run([base, "-m", "venv", "--clear", str(VENV)], "could not create .venv")
    text = LOCK.read_text()
    with tempfile.TemporaryDirectory(prefix="imageclassifier-setup-") as folder:
        installer = Path(folder) / "uv.txt"
        installer.write_text(locked_entry(text, "uv"))
        options = ["--quiet", "--only-binary=:all:", "--require-hashes", "--requirement", str(installer)]
        _run([str(python), *_PIP, *options], "could not install uv")
    _unmark("project")  # uv removes packages that are not locked, such as the project
    with step(f"Installing {len(re.findall('^[^ #].*==', text, re.MULTILINE))} locked packages"):
        # Without bytecode, every program compiles its imports again if PYTHONDONTWRITEBYTECODE is set.
        options = ["--only-binary", ":all:", "--require-hashes", "--compile-bytecode", str(LOCK)]
        _run_with_progress([str(VENV / "bin" / "uv"), "pip", "sync", "--quiet", "--python", str(python), *options])
    _mark("lock", LOCK)


def locked_entry(text: str, name: str) -> str:
    """The entry of one package in a lock file, with its hashes."""
    entry = select(text, (name,))
    if not entry.strip():
        raise ToolError(f"{LOCK.name} does not lock {name}; run `make lock` on a machine that has it")
    return entry


def _install_project() -> None:
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--editable", str(REPOSITORY)]
    with step("Installing the project itself, editable"):
        _run([str(VENV / "bin" / "python"), *_PIP, *options], "could not install the project")
    _mark("project", PROJECT)


def find_python() -> str:
    """A Python of at least 3.11 that can create virtual environments; Debian's own if possible."""
    if _has_module(DEBIAN_PYTHON, "ensurepip"):
        return str(DEBIAN_PYTHON)
    if DEBIAN_PYTHON.exists() and os.geteuid() == 0:
        apt.install(["python3.11-venv"])
        return str(DEBIAN_PYTHON)
    for name in _OTHER_PYTHONS:
        found = shutil.which(name)
        if found and _has_module(Path(found), "ensurepip"):
            return found
    raise ToolError(
        "no Python 3.11 or newer that can create virtual environments: install Debian's python3.11-venv"
    )


def _has_module(python: Path, module: str) -> bool:
    if not python.exists():
        return False
    check = f"import sys, {module}; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0


def _run_with_progress(command: list[str]) -> None:
    """Run uv and show a progress line."""
    progress, began = Progress(), time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as uv:
        while True:
            try:
                output, _ = uv.communicate(timeout=1)
                break
            except subprocess.TimeoutExpired:
                progress.show(f"uv: {time.monotonic() - began:.0f} s")
    progress.close()
    if uv.returncode != 0:
        raise ToolError(f"uv could not install {LOCK.name}:\n{output.strip()}")


def _run(command: list[str], failure: str) -> None:
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode != 0:
        raise ToolError(f"{failure}:\n{(completed.stdout + completed.stderr).strip()}")


if __name__ == "__main__":
    sys.exit(main())
