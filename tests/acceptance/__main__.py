"""Runs all three measurements, each in its own process, and reports which of their bars were held.

python -m tests.acceptance [--model PATH] [--photographs FOLDER]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import TYPE_CHECKING

from runtime.bench import workload
from tools.paths import REPOSITORY
from tools.steps import say

if TYPE_CHECKING:
    from collections.abc import Sequence

_MEASUREMENTS = ("agreement", "drain", "cache")
_VERDICTS = {0: "held", 1: "MISSED"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all measurements; returns the highest exit status: 1 if a bar was missed, 2 if a measurement failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance", description=__doc__)
    workload.add_options(parser)
    options = parser.parse_args(arguments)
    options_given = [f"--{name}={value}" for name, value in vars(options).items() if value is not None]
    statuses = {name: _run(name, options_given) for name in _MEASUREMENTS}
    print()
    for name, status in statuses.items():
        print(f"{name:<12}{_VERDICTS.get(status, 'not measured')}")
    return max(statuses.values())


def _run(name: str, options: Sequence[str]) -> int:
    say(f"=== {name}")
    command = [sys.executable, "-m", f"tests.acceptance.{name}", *options, "--assert"]
    return subprocess.run(command, cwd=REPOSITORY, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
