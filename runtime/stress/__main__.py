"""Run both stress tests, the worst images and then mutated ones, against a server inside a memory limit.

    python -m runtime.stress [--count 20000] [--seed 1] [--first 0] [--keep FOLDER] [--rounds 1] [--memory-mib 512]

Needs root and a writable cgroup hierarchy. The tests are `runtime.stress.limited` and `runtime.stress.fuzz`; each
has more options.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools.paths import REPOSITORY
from tools.steps import say

if TYPE_CHECKING:
    from collections.abc import Sequence

_OPTIONS = {
    "limited": ("rounds", "memory_mib"),
    "fuzz": ("count", "seed", "first", "keep", "memory_mib"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both tests; the exit status is 1 if one of them failed."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime.stress",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--count", type=int, default=20_000, help="number of mutated images (default: 20000)")
    add("--seed", type=int, default=1, help="image N of a seed always has the same bytes (default: 1)")
    add("--first", type=int, default=0, help="number of the first mutated image (default: 0)")
    add("--keep", type=Path, metavar="FOLDER", help="folder for mutated images with an incorrect response")
    add("--rounds", type=int, default=1, help="times that a client sends each of the worst images (default: 1)")
    add("--memory-mib", type=int, default=512, help="memory limit of the server in MiB (default: 512)")
    options = parser.parse_args(arguments)
    statuses = {name: _run(name, options) for name in _OPTIONS}
    print()
    for name, status in statuses.items():
        print(f"{name:<10}{'FAILED' if status else 'held'}")
    return int(any(statuses.values()))


def _run(name: str, options: argparse.Namespace) -> int:
    """Run one test in a separate process: both fork, which is only safe before any thread runs."""
    say(f"=== {name}")
    given = [(option, getattr(options, option)) for option in _OPTIONS[name]]
    flags = [f"--{option.replace('_', '-')}={value}" for option, value in given if value is not None]
    command = [sys.executable, "-m", f"runtime.stress.{name}", *flags]
    return subprocess.run(command, cwd=REPOSITORY, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
