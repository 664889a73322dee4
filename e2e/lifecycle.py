"""Starts and stops the target cluster, if it is the local or the kind cluster.

Also a command for the test runner, which does not import this package.
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


def obstacle(target: Target) -> str:
    """Why this user cannot start the cluster; empty if nothing prevents it."""
    if target.local and os.geteuid() != 0:
        return "the local cluster needs root; or name your own cluster with E2E_KUBECONFIG and E2E_CONTEXT"
    return ""


def exists(target: Target) -> bool:
    """Whether the cluster exists; the user's own always does."""
    if target.local:
        return Cluster().state.exists()
    return kind.running() if target.kind else True


def bring_up(target: Target) -> None:
    """Start the cluster; for the local cluster, first build its programs and images. Raises ToolError."""
    if target.local:
        prepare.prepare()
    start(target)


def start(target: Target) -> None:
    """Start the components that are not running. Raises ToolError."""
    if target.local:
        Cluster().up()
    elif target.kind:
        kind.up()


def take_down(target: Target) -> None:
    """Stop the cluster and clean up; the user's own cluster is not changed."""
    if target.local:
        Cluster().down()
    elif target.kind:
        kind.down()


_NO_CLUSTER = 3
_COMMANDS: dict[str, Callable[[Target], int | None]] = {
    "obstacle": lambda target: print(obstacle(target)),
    "exists": lambda target: 0 if exists(target) else _NO_CLUSTER,
    "up": bring_up,
    "down": take_down,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command on the target cluster.

    The exit status is 1 if it failed, and 3 if `exists` finds no cluster.
    """
    parser = argparse.ArgumentParser(
        prog="python -m e2e.lifecycle", description="Start or stop the cluster of the scenarios"
    )
    parser.add_argument("command", choices=_COMMANDS)
    options = parser.parse_args(arguments)
    try:
        return _COMMANDS[options.command](target_from()) or 0
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
