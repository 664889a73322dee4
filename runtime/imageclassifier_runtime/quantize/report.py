"""What the search found: a table for people, and the documents that go into the folder."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from typing import TYPE_CHECKING

from imageclassifier_runtime.model.quantization import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imageclassifier_runtime.quantize.judge import Agreement
    from imageclassifier_runtime.quantize.search import Candidate

REPORT = "quantization_report.json"
_HEAD = ("", "divergence", "agreement", "right", "ms fp32", "ms int8", "faster", "KiB", "settings")


def table(candidates: Sequence[Candidate], chosen: Candidate | None) -> str:
    """Return one aligned line for each candidate; the chosen one is marked."""
    rows = [_HEAD, *(_row(candidate, "*" if candidate is chosen else "") for candidate in candidates)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in {0, len(_HEAD) - 1} else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _row(candidate: Candidate, mark: str) -> tuple[str, ...]:
    found, speed = candidate.agreement, candidate.speed
    right = "" if found.right_int8 is None else f"{found.right_int8}/{found.pictures}"
    return (
        mark,
        f"{candidate.divergence:.5f}",
        f"{found.same}/{found.pictures}",
        right,
        f"{speed.fp32 * 1000:.2f}",
        f"{speed.int8 * 1000:.2f}",
        f"{speed.gain:.2f}x",
        f"{candidate.graph.stat().st_size / 1024:.0f}",
        str(candidate.settings),
    )


def summary(found: Agreement, required: float) -> list[str]:
    """Return what is said of the chosen graph, in sentences."""
    low, high = found.interval()
    told = f"{found.share:.2%} (95 % sure: {low:.1%} to {high:.1%}); required: {required:.2%}."
    lines = [
        f"The class of fp32 on {found.same} of {found.pictures} pictures that had no part in the choice: {told}"
    ]
    if found.right_fp32 is not None and found.right_int8 is not None:
        lines.append(
            f"Right: fp32 {found.right_fp32} ({found.right_fp32 / found.pictures:.2%}), "
            f"int8 {found.right_int8} ({found.right_int8 / found.pictures:.2%})."
        )
    return lines


def record(
    chosen: Candidate, *, required: float, digests: tuple[str, str, str], calibration: int, seed: int
) -> Record:
    """Return the record of an accepted graph. Nothing in it was timed: the same input gives the same bytes.

    `digests` are those of the fp32 graph, the int8 graph and the preprocessing.
    """
    found = chosen.agreement
    accuracy = None
    if found.right_fp32 is not None:
        accuracy = {"fp32": found.right_fp32, "int8": found.right_int8, "pictures": found.pictures}
    return Record(
        model_sha256=digests[0],
        int8_sha256=digests[1],
        preprocessing_sha256=digests[2],
        same=found.same,
        pictures=found.pictures,
        required=required,
        details={
            "right": accuracy,
            "settings": chosen.settings.to_dict(),
            "calibration_pictures": calibration,
            "seed": seed,
            "made_with": {name: metadata.version(name) for name in ("onnx", "onnxruntime")},
        },
    )


def to_json(candidates: Sequence[Candidate], chosen: Candidate | None, left_out: Sequence[str]) -> str:
    """Return the whole report, with the times and the machine that they were taken on."""
    document = {
        "machine": {"architecture": platform.machine(), "processor": _processor(), "vnni": _has_vnni()},
        "candidates": [
            {
                "chosen": candidate is chosen,
                "settings": candidate.settings.to_dict(),
                "divergence": candidate.divergence,
                **candidate.agreement._asdict(),
                "milliseconds_fp32": round(candidate.speed.fp32 * 1000, 4),
                "milliseconds_int8": round(candidate.speed.int8 * 1000, 4),
                "bytes": candidate.graph.stat().st_size,
            }
            for candidate in candidates
        ],
        "left_out": list(left_out),
    }
    return json.dumps(document, indent=2) + "\n"


def _cpu_lines(field: str) -> list[str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - a file of the kernel, read line by line
            return [line.partition(":")[2].strip() for line in file if line.startswith(field)]
    except OSError:
        return []


def _processor() -> str:
    return next(iter(_cpu_lines("model name")), platform.processor() or "unknown")


def _has_vnni() -> bool | None:
    """Whether the processor multiplies 8-bit numbers without 16-bit sums; None where the kernel does not say."""
    flags = next(iter(_cpu_lines("flags")), None)
    return None if flags is None else any(flag in {"avx512_vnni", "avx_vnni"} for flag in flags.split())
