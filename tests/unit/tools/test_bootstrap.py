"""The set-up finds a Python that can create virtual environments, and skips what is done already."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tools import bootstrap
from tools.errors import ToolError
from tools.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with only the Pythons that a test adds."""
    monkeypatch.setattr(bootstrap, "DEBIAN_PYTHON", tmp_path / "debian-python")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    return tmp_path


def _python(path: Path, *, can_create_environments: bool) -> None:
    status = 0 if can_create_environments else 1
    path.write_text(f"#!/bin/sh\nexit {status}\n")
    path.chmod(0o755)


def test_debians_own_python_comes_first(machine: Path) -> None:
    _python(machine / "debian-python", can_create_environments=True)
    _python(machine / "python3.11", can_create_environments=True)
    assert bootstrap.find_python() == str(machine / "debian-python")


def test_another_python_is_used_if_debians_cannot_create_environments(machine: Path) -> None:
    _python(machine / "debian-python", can_create_environments=False)
    _python(machine / "python3.12", can_create_environments=True)
    assert bootstrap.find_python() == str(machine / "python3.12")


def test_as_root_debians_python_is_completed(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _python(machine / "debian-python", can_create_environments=False)
    installed: list[str] = []
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("tools.apt.install", installed.extend)
    assert bootstrap.find_python() == str(machine / "debian-python")
    assert installed == ["python3.11-venv"]


@pytest.mark.usefixtures("machine")
def test_without_a_suitable_python_the_error_says_what_to_install() -> None:
    with pytest.raises(ToolError, match=r"install Debian's python3\.11-venv"):
        bootstrap.find_python()


def test_the_installer_is_the_locked_one_with_its_hashes() -> None:
    entry = bootstrap.locked_entry(bootstrap.LOCK.read_text(), "uv")
    lines = entry.splitlines()
    assert lines[0].startswith("uv==")
    assert len(lines) > 1
    assert all(line.strip().startswith("--hash=sha256:") for line in lines[1:])


def test_the_error_for_a_package_that_is_not_locked_names_it() -> None:
    with pytest.raises(ToolError, match="does not lock absent"):
        bootstrap.locked_entry("uv==1 \\\n    --hash=sha256:0\n", "absent")


def test_the_project_is_installed_again_after_the_locked_packages_which_remove_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment = tmp_path / "environment"
    (environment / "bin").mkdir(parents=True)
    for name in bootstrap._PROGRAMS:
        _python(environment / "bin" / name, can_create_environments=True)
    lock = tmp_path / "dev.txt"
    monkeypatch.setattr(bootstrap, "VENV", environment)
    monkeypatch.setattr(bootstrap, "LOCK", lock)
    ran: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "_run_with_progress", ran.append)
    monkeypatch.setattr(bootstrap, "_run", lambda command, _: ran.append(command))
    for text in ("uv==1\n", "uv==2\n", "uv==2\n"):
        lock.write_text(text)
        assert bootstrap.main() == 0
    steps = [
        "sync" if "sync" in command else "project" for command in ran if {"sync", "--editable"} & set(command)
    ]
    assert steps == ["sync", "project", "sync", "project"]


def test_the_set_up_needs_only_the_standard_library() -> None:
    start = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); import tools.bootstrap"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", start], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
