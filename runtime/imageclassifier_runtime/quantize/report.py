"""Renders the results of the search: a table, a summary, and the JSON files of the model folder."""

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
_HEAD = ("", "divergence", "agreement", "correct", "ms fp32", "ms int8", "speedup", "KiB", "settings")


def table(candidates: Sequence[Candidate], chosen: Candidate | None) -> str:
    """Return a table with one row per candidate; the chosen one is marked with `*`."""
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
    agreement, speed = candidate.agreement, candidate.speed
    correct = "" if agreement.right_int8 is None else f"{agreement.right_int8}/{agreement.pictures}"
    return (
        mark,
        f"{candidate.divergence:.5f}",
        f"{agreement.same}/{agreement.pictures}",
        correct,
        f"{speed.fp32 * 1000:.2f}",
        f"{speed.int8 * 1000:.2f}",
        f"{speed.gain:.2f}x",
        f"{candidate.graph.stat().st_size / 1024:.0f}",
        str(candidate.settings),
    )


def summary(agreement: Agreement, required: float) -> list[str]:
    """Return the agreement of the chosen graph in sentences."""
    low, high = agreement.interval()
    interval = f"95 % confidence interval: {low:.1%} to {high:.1%}"
    lines = [
        f"Same class as fp32: {agreement.same} of {agreement.pictures} pictures not used for the choice,",
        f"{agreement.share:.2%} ({interval}); required: {required:.2%}.",
    ]
    if agreement.right_fp32 is not None and agreement.right_int8 is not None:
        lines.append(
            f"Correct: fp32 {agreement.right_fp32} ({agreement.right_fp32 / agreement.pictures:.2%}), "
            f"int8 {agreement.right_int8} ({agreement.right_int8 / agreement.pictures:.2%})."
        )
    return lines


def record(
    chosen: Candidate, *, required: float, digests: tuple[str, str, str], calibration: int, seed: int
) -> Record:
    """Return the record of an accepted graph; it contains no timings, so the same input gives the same bytes.

    `digests` are those of the fp32 graph, the int8 graph and the preprocessing.
    """
    agreement = chosen.agreement
    accuracy = None
    if agreement.right_fp32 is not None:
        accuracy = {"fp32": agreement.right_fp32, "int8": agreement.right_int8, "pictures": agreement.pictures}
    return Record(
        model_sha256=digests[0],
        int8_sha256=digests[1],
        preprocessing_sha256=digests[2],
        same=agreement.same,
        pictures=agreement.pictures,
        required=required,
        details={
            "right": accuracy,
            "settings": chosen.settings.to_dict(),
            "calibration_pictures": calibration,
            "seed": seed,
            "made_with": {name: metadata.version(name) for name in ("onnx", "onnxruntime")},
        },
    )


def to_json(candidates: Sequence[Candidate], chosen: Candidate | None, skipped: Sequence[str]) -> str:
    """Return the full report, with the timings and the machine on which they were measured."""
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
        "left_out": list(skipped),
    }
    return json.dumps(document, indent=2) + "\n"


def _cpu_lines(field: str) -> list[str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - read line by line
            return [line.partition(":")[2].strip() for line in file if line.startswith(field)]
    except OSError:
        return []


def _processor() -> str:
    return next(iter(_cpu_lines("model name")), platform.processor() or "unknown")


def _has_vnni() -> bool | None:
    """Return whether the processor has VNNI: 8-bit products without 16-bit sums; None if that is not known."""
    flags = next(iter(_cpu_lines("flags")), None)
    return None if flags is None else any(flag in {"avx512_vnni", "avx_vnni"} for flag in flags.split())
