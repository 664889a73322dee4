"""Runs the project's checks part by part, times each, and reports which passed, failed or were skipped.

Nothing here imports `e2e`: the checks and the operations on a cluster run as commands.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tools import apt
from tools.errors import ToolError
from tools.paths import REPOSITORY
from tools.steps import elapsed, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_BIN = REPOSITORY / ".venv" / "bin"
_BROWSER = "chromium"
_NO_CLUSTER = 3
"""The exit status of `e2e.lifecycle exists` if there is no cluster."""
_LINTERS = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    ("mypy",),
    ("lint-imports",),
)
_IN_PROCESSES = ("--numprocesses=auto", "--maxprocesses=4", "--dist=worksteal")
_BOTH_SERVERS = ("--numprocesses=2", "--dist=loadgroup")
"""The tests on the newest and on the oldest API server run at the same time: most of their time is waiting."""


@dataclass
class Part:
    """One part of the checks, with its preparation and clean-up; `obstacle` returns why it cannot run here."""

    name: str
    commands: Sequence[Sequence[str]]
    prepare: Callable[[], object] = lambda: None
    obstacle: Callable[[], str] = lambda: ""
    finish: Callable[[], object] = lambda: None
    result: str = ""
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


def parts(extra: Sequence[str]) -> list[Part]:
    """All parts, the fastest first; `extra` are options of pytest."""
    return [
        Part("lint", _LINTERS),
        Part(
            "unit",
            [("pytest", "tests/unit", "tests/contract", "tests/golden", *_IN_PROCESSES, *extra)],
            prepare=_install_redis,
        ),
        Part(
            "browser", [("pytest", "tests/browser", *extra)], prepare=_install_browser, obstacle=_browser_obstacle
        ),
        Part(
            "integration",
            [("pytest", "tests/integration", *_BOTH_SERVERS, *extra)],
            prepare=_build_programs,
            obstacle=_api_server_obstacle,
        ),
        _scenarios(extra),
    ]


def _browser_obstacle() -> str:
    if os.geteuid() == 0 or shutil.which(_BROWSER):
        return ""
    return f"{_BROWSER} is not installed: install Debian's package of that name as root"


def _install_browser() -> None:
    if not shutil.which(_BROWSER):
        apt.install([_BROWSER, "fonts-liberation"])


def _api_server_obstacle() -> str:
    if shutil.which("setpriv"):
        return ""
    return "setpriv is not installed: install Debian's package util-linux"


def _build_programs() -> None:
    # Build the scenarios' programs too: they share packages, and the build cache is deleted afterwards.
    _module("e2e.cluster", "build")


def _install_redis() -> None:
    """Install Redis for the cache's tests if possible; otherwise they are skipped."""
    installed = any(map(shutil.which, ("redis-server", "redis-check-rdb")))
    if not installed and os.geteuid() == 0 and shutil.which("dpkg-query"):
        # the program without the service that Debian's package redis-server starts
        apt.install(["redis-tools"])


def _scenarios(extra: Sequence[str]) -> Part:
    """The scenarios, which stop the cluster only if they started it."""
    existed = True

    def bring_up() -> None:
        nonlocal existed
        existed = _cluster_exists()
        _module("e2e.lifecycle", "up")

    def take_down() -> None:
        if not existed and _cluster_exists():
            say("Stopping the cluster, which these tests started (after `make cluster-up` it is left running)")
            _module("e2e.lifecycle", "down")

    commands = [("pytest", "e2e/scenarios", *extra)]
    return Part("e2e", commands, prepare=bring_up, obstacle=_cluster_obstacle, finish=take_down)


def _cluster_obstacle() -> str:
    return _module("e2e.lifecycle", "obstacle", stdout=subprocess.PIPE).stdout.strip()


def _cluster_exists() -> bool:
    return _module("e2e.lifecycle", "exists", accepted=(0, _NO_CLUSTER)).returncode == 0


def _module(
    name: str, command: str, *, stdout: int | None = None, accepted: Sequence[int] = (0,)
) -> subprocess.CompletedProcess[str]:
    """Run one command of the project. Raises ToolError with its stderr."""
    line = [str(_BIN / "python"), "-m", name, command]
    completed = subprocess.run(line, cwd=REPOSITORY, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    if completed.returncode not in accepted:
        raise ToolError(completed.stderr.strip().removeprefix("error: "))
    return completed


def run(part: Part, *, skip_is_failure: bool) -> None:
    """Run one part and record its result."""
    began = time.monotonic()
    try:
        obstacle = part.obstacle()
        if obstacle:
            part.result = "FAILED" if skip_is_failure else "skipped"
            part.notes.append(obstacle)
            return
        say(f"=== {part.name}")
        part.result = "passed"
        try:
            part.prepare()
            _run_commands(part)
        finally:
            part.seconds = time.monotonic() - began
            part.finish()
    except ToolError as error:
        part.result = "FAILED"
        part.notes.append(str(error))


def _run_commands(part: Part) -> None:
    for command in part.commands:
        say(" ".join(command))
        program, *arguments = command
        if subprocess.run([_BIN / program, *arguments], cwd=REPOSITORY, check=False).returncode != 0:
            part.result = "FAILED"
            part.notes.append(f"{' '.join(command)} failed")


def summary(finished: Sequence[Part]) -> str:
    """A table for users and a last line for scripts."""
    lines = ["", f"{'part':<14}{'result':<10}{'seconds':>8}"]
    for part in finished:
        lines.append(f"{part.name:<14}{part.result:<10}{part.seconds:>8.1f}")
        lines += [f"    {note}" for note in part.notes]
    failed = [part.name for part in finished if part.result == "FAILED"]
    skipped = [part.name for part in finished if part.result == "skipped"]
    verdict = f"failed: {', '.join(failed)}" if failed else "passed"
    skipped_parts = f"; skipped: {', '.join(skipped)}" if skipped else ""
    lines += ["", f"RESULT: {verdict}{skipped_parts} ({elapsed():.0f} s)"]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the requested parts, or all; the exit status is 1 if one of them failed."""
    names = [part.name for part in parts([])]
    parser = argparse.ArgumentParser(prog="python -m tools.run_tests", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of: {' '.join(names)} (default: all)")
    parser.add_argument("--pytest", default="", metavar="OPTIONS", help="more options for pytest, as one argument")
    options = parser.parse_args(arguments)
    unknown = set(options.parts) - set(names)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    selected = [part for part in parts(shlex.split(options.pytest)) if part.name in (options.parts or names)]
    in_ci = os.environ.get("CI", "").lower() not in {"", "0", "false"}
    for part in selected:
        run(part, skip_is_failure=in_ci)
    print(summary(selected), flush=True)
    return int(any(part.result == "FAILED" for part in selected))


if __name__ == "__main__":
    sys.exit(main())
