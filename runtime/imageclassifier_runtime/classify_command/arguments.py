"""The flags of `imageclassifier classify`; heavy imports are avoided, since every command builds this parser."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import ParameterError
from imageclassifier_runtime.model.precision import PRECISIONS
from imageclassifier_runtime.request.parameters import DEFAULT_TOP_K, MAX_TOP_K, parse_top_k
from imageclassifier_runtime.settings.environment import PREFIX
from imageclassifier_runtime.settings.urls import http_parts, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_VARIABLE = f"{PREFIX}API_KEY"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags to the parser."""
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="an image file, or - for standard input")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--url",
        type=_base_url,
        help=f"URL of a server to use instead of a model folder; set its API key in {KEY_VARIABLE}",
    )
    source.add_argument(
        "--model", type=Path, metavar="FOLDER", help="the model folder (if not set: the bundled model)"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="FP32, INT8, or Auto: int8 if the model folder has an accepted int8 graph",
    )
    parser.add_argument(
        "--top-k",
        type=_count,
        default=DEFAULT_TOP_K,
        metavar="N",
        help=f"number of classes to print, 1 to {MAX_TOP_K} (default: {DEFAULT_TOP_K})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per photograph and line")


def run(arguments: argparse.Namespace, env: Mapping[str, str] = os.environ) -> int:
    """Run the command; returns the exit status."""
    from imageclassifier_runtime.classify_command.run import main  # noqa: PLC0415 - slow to import

    try:
        return main(arguments, env)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of the output has exited, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _count(value: str) -> int:
    try:
        return parse_top_k(value)
    except ParameterError as error:
        raise argparse.ArgumentTypeError(error.detail) from None


def _base_url(value: str) -> str:
    """Return a server's base URL; the path of the API is removed if the URL has it."""
    parts = http_parts(value)
    if parts is None or parts.query or parts.fragment or not value.isascii():
        raise argparse.ArgumentTypeError(f"must be http(s)://host[:port], not {shown(value)!r}")
    return value.rstrip("/").removesuffix("/api/v1/classify").rstrip("/")
