"""Runs the project's checks part by part, times each, and says plainly what passed, failed or could not run.

What a part needs of the cluster is a command of `e2e`, as the checks are: nothing here imports `e2e`.
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
"""What `e2e.lifecycle exists` returns if there is no cluster."""
_LINTERS = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    ("mypy",),
    ("lint-imports",),
)


@dataclass
class Part:
    """One part of the checks: what it runs, what comes before and after, and what keeps it from running here."""

    name: str
    commands: Sequence[Sequence[str]]
    prepare: Callable[[], object] = lambda: None
    obstacle: Callable[[], str] = lambda: ""
    finish: Callable[[], object] = lambda: None
    result: str = ""
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


def parts(extra: Sequence[str]) -> list[Part]:
    """All parts, the quickest first; what is given extra goes to pytest."""
    return [
        Part("lint", _LINTERS),
        Part("unit", [("pytest", "tests/unit", "tests/contract", "tests/golden", *extra)], prepare=_bring_redis),
        Part("browser", [("pytest", "tests/browser", *extra)], prepare=_browser, obstacle=_no_browser),
        Part(
            "integration",
            [("pytest", "tests/integration", *extra)],
            prepare=_build_programs,
            obstacle=_no_api_server,
        ),
        _scenarios(extra),
    ]


def _no_browser() -> str:
    if os.geteuid() == 0 or shutil.which(_BROWSER):
        return ""
    return f"there is no {_BROWSER}: install Debian's package of that name, which needs root once"


def _browser() -> None:
    if not shutil.which(_BROWSER):
        apt.install([_BROWSER, "fonts-liberation"])


def _no_api_server() -> str:
    if shutil.which("setpriv"):
        return ""
    return "there is no setpriv: install Debian's package util-linux"


def _build_programs() -> None:
    # The scenarios' programs as well: they share packages with these, whose compiled form is not kept.
    _module("e2e.cluster", "build")


def _bring_redis() -> None:
    """Install what the cache's tests start, where that can be done; where not, they are skipped and say so."""
    there = any(map(shutil.which, ("redis-server", "redis-check-rdb")))
    if not there and os.geteuid() == 0 and shutil.which("dpkg-query"):
        # the program without the service that Debian's package redis-server starts
        apt.install(["redis-tools"])


def _scenarios(extra: Sequence[str]) -> Part:
    """The scenarios, which stop the cluster that they started, and no other."""
    found = True

    def bring_up() -> None:
        nonlocal found
        found = _cluster_exists()
        _module("e2e.lifecycle", "up")

    def take_down() -> None:
        if not found and _cluster_exists():
            say("These tests started the cluster, so they stop it (after `make cluster-up` they leave it alone)")
            _module("e2e.lifecycle", "down")

    commands = [("pytest", "e2e/scenarios", *extra)]
    return Part("e2e", commands, prepare=bring_up, obstacle=_no_cluster, finish=take_down)


def _no_cluster() -> str:
    return _module("e2e.lifecycle", "obstacle", stdout=subprocess.PIPE).stdout.strip()


def _cluster_exists() -> bool:
    return _module("e2e.lifecycle", "exists", accepted=(0, _NO_CLUSTER)).returncode == 0


def _module(
    name: str, command: str, *, stdout: int | None = None, accepted: Sequence[int] = (0,)
) -> subprocess.CompletedProcess[str]:
    """Run one command of the project. Raises ToolError with what it says on stderr."""
    line = [str(_BIN / "python"), "-m", name, command]
    done = subprocess.run(line, cwd=REPOSITORY, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode not in accepted:
        raise ToolError(done.stderr.strip().removeprefix("error: "))
    return done


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


def summary(done: Sequence[Part]) -> str:
    """A table for people and one last line for machines."""
    lines = ["", f"{'part':<14}{'result':<10}{'seconds':>8}"]
    for part in done:
        lines.append(f"{part.name:<14}{part.result:<10}{part.seconds:>8.1f}")
        lines += [f"    {note}" for note in part.notes]
    failed = [part.name for part in done if part.result == "FAILED"]
    skipped = [part.name for part in done if part.result == "skipped"]
    verdict = f"failed: {', '.join(failed)}" if failed else "passed"
    left_out = f"; skipped: {', '.join(skipped)}" if skipped else ""
    lines += ["", f"RESULT: {verdict}{left_out} ({elapsed():.0f} s)"]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts asked for, or all; the exit status is 1 when one of them failed."""
    names = [part.name for part in parts([])]
    parser = argparse.ArgumentParser(prog="python -m tools.run_tests", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of: {' '.join(names)} (default: all)")
    parser.add_argument("--pytest", default="", metavar="OPTIONS", help="more options for pytest, in one word")
    options = parser.parse_args(arguments)
    unknown = set(options.parts) - set(names)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    wanted = [part for part in parts(shlex.split(options.pytest)) if part.name in (options.parts or names)]
    in_ci = os.environ.get("CI", "").lower() not in {"", "0", "false"}
    for part in wanted:
        run(part, skip_is_failure=in_ci)
    print(summary(wanted), flush=True)
    return int(any(part.result == "FAILED" for part in wanted))


if __name__ == "__main__":
    sys.exit(main())
