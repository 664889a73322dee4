"""The recommended batch size, and a short comparison of batch sizes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from runtime.bench import __main__ as command
from runtime.bench import batching, results
from runtime.bench.results import Results
from tests.unit.bench.support import make_slice
from tools.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

SIZES = (1, 4, 8)


def measured(responses: dict[int, tuple[int, int, int]], p50: dict[int, float] | None = None) -> Results:
    """Return results of each round with 1 and with 50 clients; `responses` has the number for 50 clients."""
    found = Results(facts={"workload": "w", "machine": "m", "how": "h", "precisions": ["FP32"]})
    for size, counts in responses.items():
        for number, count in enumerate(counts):
            found.slices.append(
                make_slice(batching.name(size), "FP32", 1, number, p50=(p50 or {}).get(size, 10.0))
            )
            found.slices.append(make_slice(batching.name(size), "FP32", 50, number, answers=count))
    return found


@pytest.mark.parametrize(
    ("responses", "p50", "expected"),
    [
        ({1: (100, 100, 100), 4: (101, 99, 100), 8: (90, 95, 92)}, {}, "leave batching off"),
        ({1: (100, 100, 100), 4: (120, 121, 122), 8: (120, 122, 121)}, {}, "size of 4 gains: 1.21 (1.20-1.22)"),
        ({1: (100, 100, 100), 4: (110, 111, 112), 8: (130, 131, 132)}, {}, "size of 8 gains: 1.31"),
        (
            {1: (100, 100, 100), 4: (150, 150, 101), 8: (90, 90, 90)},
            {},
            "leave batching off",
        ),  # not in every round
        (
            {1: (100, 100, 100), 4: (150, 150, 150), 8: (90, 90, 90)},
            {4: 12.0},
            "leave batching off",
        ),  # p50 of 1 client
        ({1: (50, 100, 200), 4: (60, 120, 240), 8: (50, 100, 200)}, {}, "size of 4 gains: 1.20 (1.20-1.20)"),
    ],
)
def test_a_size_is_recommended_if_it_gains_in_every_round_and_adds_no_latency(
    responses: dict[int, tuple[int, int, int]], p50: dict[int, float], expected: str
) -> None:
    assert expected in batching.verdict(measured(responses, p50), "FP32", SIZES)


def test_the_table_compares_each_round_with_size_1() -> None:
    text = batching.render(measured({1: (50, 100, 200), 4: (60, 120, 240), 8: (50, 100, 200)}), SIZES)
    row = next(line for line in text.splitlines() if line.startswith("50 ") and line.split()[1] == "4")
    assert "120.0 (60.0-240.0)" in row
    assert "1.20 (1.20-1.20)" in row


def test_sizes_are_parsed_and_always_include_1() -> None:
    assert batching.sizes_of(command._parser().parse_args(["--batching", "8,4"]).batching) == (1, 4, 8)
    for text in ("0", "65", "x"):
        with pytest.raises(SystemExit):
            command._parser().parse_args(["--batching", text])


@pytest.mark.timeout(600)
def test_a_short_comparison_measures_every_size(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "runtime.bench",
                "--batching",
                "4",
                "--precision",
                "FP32",
                "--out",
                str(tmp_path),
            ),
            *("--clients", "1,8", "--rounds", "1", "--seconds", "0.5", "--warmup", "0.2"),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = results.read(tmp_path / "batching.json")
    assert [(entry.target, entry.clients) for entry in found.slices] == [
        ("batch 1", 1),
        ("batch 4", 1),
        ("batch 1", 8),
        ("batch 4", 8),
    ]
    assert all(set(entry.statuses) == {"200"} and entry.answers > 0 for entry in found.slices)
    assert "leave batching off" in done.stdout or "batch size of 4 gains" in done.stdout
