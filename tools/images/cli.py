"""The images' command line: builds them, and optionally loads them into the local cluster or pushes them."""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import TYPE_CHECKING

from tools.errors import ToolError
from tools.images import build
from tools.paths import REPOSITORY
from tools.steps import say

if TYPE_CHECKING:
    from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Build what changed; the exit status is 1 if that failed."""
    parser = argparse.ArgumentParser(prog="python -m tools.images", description="Build the project's images")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("build", help="build what changed and print the archives' paths")
    command.add_argument("--only", choices=build.IMAGES, help="one image instead of both")
    command.add_argument("--load", action="store_true", help="also load them into the local cluster")
    command.add_argument("--push", action="store_true", help="also push them to --registry")
    command.add_argument("--registry", default="", help="for example registry.example.org/team")
    command.add_argument("--insecure", action="store_true", help="the registry uses plain HTTP")
    options = parser.parse_args(arguments)
    if options.push != bool(options.registry):
        parser.error("--push and --registry must be set together")
    try:
        _build(options)
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _build(options: argparse.Namespace) -> None:
    for image in [options.only] if options.only else build.IMAGES:
        archive = build.ensure(image)
        say(f"{build.name(image)} is built: {archive}")
        if options.load:
            _load(archive)
        if options.push:
            build.push(image, options.registry, insecure=options.insecure)


def _load(archive: Path) -> None:
    command = [sys.executable, "-m", "e2e.cluster", "load-image", str(archive)]
    completed = subprocess.run(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True, check=False)
    if completed.returncode != 0:
        raise ToolError(completed.stderr.strip().removeprefix("error: "))
