"""The flags of `imageclassifier quantize`; heavy imports are avoided, since every command builds this parser."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags to the parser."""
    parser.add_argument("folder", type=Path, help="the model folder, with its fp32 model.onnx")
    parser.add_argument(
        "--pictures", type=Path, required=True, metavar="DIR", help="folder with photographs, at any depth"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new folder, or FOLDER itself")
    labels = parser.add_mutually_exclusive_group()
    labels.add_argument(
        "--labels", type=Path, metavar="CSV", help="`file` and `class_index` or `label` of each picture"
    )
    labels.add_argument(
        "--labels-from-folders", action="store_true", help="each picture's folder is named after its class"
    )
    parser.add_argument(
        "--calibrate",
        type=_number_or_file,
        default=100,
        metavar="N|FILE",
        help="number of calibration pictures, or a file that lists them, one per line (default: 100)",
    )
    parser.add_argument(
        "--judge",
        type=_positive,
        default=1000,
        metavar="N",
        help="maximum number of other pictures for evaluation (default: 1000)",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed for selecting pictures (default: 0)")
    parser.add_argument(
        "--min-agreement",
        type=_share,
        default=0.975,
        metavar="SHARE",
        help="minimum share of pictures with fp32's top-1 class, 0 to 1 (default: 0.975)",
    )
    parser.add_argument(
        "--min-speedup",
        type=_factor,
        default=1.0,
        metavar="FACTOR",
        help="minimum speedup over fp32 on this machine; 0: ignore the speed (default: 1)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    from imageclassifier_runtime.quantize.run import QuantizeOptions, main  # noqa: PLC0415 - imports onnxruntime

    names = QuantizeOptions.__dataclass_fields__
    return main(QuantizeOptions(**{name: getattr(arguments, name) for name in names}))


def _number_or_file(value: str) -> int | Path:
    return int(value) if value.isascii() and value.isdigit() else Path(value)


def _positive(value: str) -> int:
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _share(value: str) -> float:
    number = float(value)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError("must be between 0 and 1")
    return number


def _factor(value: str) -> float:
    number = float(value)
    if not 0 <= number <= 1000:
        raise argparse.ArgumentTypeError("must be between 0 and 1000")
    return number
