"""Brings up, and takes down again, the cluster that is worked on, if it is ours to start and stop.

Also a command, for the test runner: it imports nothing of this package.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from e2e import kind, prepare
from e2e.cluster.cluster import Cluster
from e2e.target import target_from
from tools.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from e2e.target import Target


def hindrance(target: Target) -> str:
    """What keeps this user from bringing it up; empty if nothing does."""
    if target.local and os.geteuid() != 0:
        return "the local cluster needs root; or name a cluster of your own with E2E_KUBECONFIG and E2E_CONTEXT"
    return ""


def exists(target: Target) -> bool:
    """Whether it was there before; a cluster of the user's own always was."""
    if target.local:
        return Cluster().state.exists()
    return kind.running() if target.kind else True


def bring_up(target: Target) -> None:
    """Start what of it does not run. Raises ToolError."""
    if target.local:
        prepare.prepare()
        Cluster().up()
    elif target.kind:
        kind.up()


def take_down(target: Target) -> None:
    """Stop it and leave nothing behind; a cluster of the user's own is left alone."""
    if target.local:
        Cluster().down()
    elif target.kind:
        kind.down()


_NOT_THERE = 3
_COMMANDS: dict[str, Callable[[Target], int | None]] = {
    "hindrance": lambda target: print(hindrance(target)),
    "exists": lambda target: 0 if exists(target) else _NOT_THERE,
    "up": bring_up,
    "down": take_down,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command on the cluster that the environment names.

    The exit status is 1 if it failed, and 3 if `exists` finds no cluster.
    """
    parser = argparse.ArgumentParser(prog="python -m e2e.lifecycle", description="The cluster of the scenarios")
    parser.add_argument("command", choices=_COMMANDS)
    options = parser.parse_args(arguments)
    try:
        return _COMMANDS[options.command](target_from()) or 0
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
