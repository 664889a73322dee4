"""The comparison of two checkouts: its verdicts, and a short run of this checkout against itself."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from runtime.bench import against, results
from runtime.bench.errors import BenchError
from runtime.bench.results import Footprint, Results
from tests.unit.bench.support import make_slice
from tools.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path


def compared(*, this: tuple[int, ...], other: tuple[int, ...], start: float = 1.0, pss: int = 100) -> Results:
    """Return results with responses of each round, and this checkout's start and memory (other: 1 s, 100)."""
    found = Results(facts={"workload": "w", "machine": "m", "how": "h", "precisions": ["FP32"]})
    for name, counts in ((against.THIS, this), (against.OTHER, other)):
        found.slices += [
            make_slice(name, "FP32", 50, number, answers=count) for number, count in enumerate(counts)
        ]
    for name, seconds, size in ((against.THIS, start, pss), (against.OTHER, 1.0, 100)):
        found.footprints.append(
            Footprint(
                target=name, precision="FP32", starts=[seconds], imports=[0.5], pss=size, rss=size, answers=1
            )
        )
    return found


@pytest.mark.parametrize(
    ("found", "worse"),
    [
        (compared(this=(100, 50, 98), other=(100, 50, 100)), 0),  # the machine was slower in the second round
        (compared(this=(96, 48, 96), other=(100, 50, 100)), 1),
        (compared(this=(120, 120), other=(100, 100), start=1.03, pss=103), 0),
        (compared(this=(120, 120), other=(100, 100), start=1.04), 1),
        (compared(this=(96, 96), other=(100, 100), pss=104), 2),
    ],
)
def test_more_than_three_per_cent_is_worse(found: Results, worse: int) -> None:
    assert against.worse(found) == worse


def test_a_checkout_without_set_up_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="run `make setup` in that checkout"):
        against.checkout(tmp_path)


def test_a_short_comparison_measures_both_servers(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "runtime.bench",
        "--quick",
        "--against",
        str(REPOSITORY),
        "--precision",
        "FP32",
    ]
    options = ["--rounds", "1", "--clients", "1", "--seconds", "0.3", "--memory-seconds", "0.3"]
    done = subprocess.run(
        [*command, *options, "--out", str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = results.read(tmp_path / "against.json")
    assert [(entry.target, set(entry.statuses)) for entry in found.slices] == [
        (name, {"200"}) for name in (against.THIS, against.OTHER)
    ]
