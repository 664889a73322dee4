"""The table, the file of results, and the plot."""

import dataclasses
import math
import subprocess
import sys
from pathlib import Path

from PIL import Image

from runtime.bench import plot, results, table
from runtime.bench.results import SERVER
from tests.unit.bench.support import good_results, make_slice
from tools.paths import REPOSITORY


def test_columns_are_aligned() -> None:
    lines = table.aligned([("a", "b", "c"), ("longer", "x", "10"), ("y", "longest", "5")]).splitlines()
    assert lines == [
        "a       b         c",
        "------  -------  --",
        "longer  x        10",
        "y       longest   5",
    ]


def test_the_table_has_median_and_range_of_rates_and_ratios() -> None:
    text = table.render(good_results())
    row = next(line for line in text.splitlines() if line.startswith("50 ") and "server fp32" in line)
    assert "91.0 (90.0-92.0)" in row
    assert "0.91 (0.90-0.92)" in row
    assert "1.52 (1.50-1.53)" in row
    assert "20000 requests/s to a null server" in text
    assert "server fp32: 63 of 63 pictures have the baseline's class" in text


def test_responses_other_than_200_are_counted_by_status() -> None:
    found = good_results()
    found.slices[1] = dataclasses.replace(found.slices[1], statuses={"200": 9, "503": 4, "reset": 1}, unfinished=2)
    assert "4 x 503, 1 x reset, 2 x unfinished" in table.render(found)


def test_results_round_trip_through_their_file(tmp_path: Path) -> None:
    found = good_results(("FP32", "INT8"))
    found.write(tmp_path / "results.json")
    assert results.read(tmp_path / "results.json") == found


def test_a_slice_without_responses_is_kept_and_shown(tmp_path: Path) -> None:
    found = good_results(rounds=1)
    empty = {"answers": 0, "statuses": {"reset": 3}, "p50": math.nan, "p95": math.nan, "p99": math.nan}
    found.slices = [
        dataclasses.replace(entry, **empty) if entry.target == SERVER else entry  # type: ignore[arg-type]
        for entry in found.slices
    ]
    found.write(tmp_path / "results.json")
    read = results.read(tmp_path / "results.json")
    assert math.isnan(read.select(SERVER, "FP32", 8)[0].p99)
    assert "3 x reset" in table.render(read)
    plot.draw(read, tmp_path / "results.png")


def test_the_plot_has_another_row_if_memory_was_measured_over_time(tmp_path: Path) -> None:
    found = good_results(("FP32", "INT8"))
    plot.draw(found, tmp_path / "with.png")
    plot.draw(dataclasses.replace(found, curves=[]), tmp_path / "without.png")
    with Image.open(tmp_path / "with.png") as more, Image.open(tmp_path / "without.png") as less:
        assert more.height > less.height
        assert more.format == "PNG"
        colours = {colour for _, colour in more.convert("RGB").getcolors(1 << 24) or []}
        assert {(0x6F, 0xA8, 0xDC), (0x1A, 0x56, 0xA5), (0xE8, 0x93, 0x5A)} <= colours


def test_matplotlib_is_imported_only_to_draw() -> None:
    program = "import runtime.bench.__main__, runtime.bench.child, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=False).returncode == 0


def test_cpu_time_is_per_thousand_responses() -> None:
    entry = make_slice(SERVER, "FP32", 8, answers=50, cpu_seconds=0.6)
    assert entry.cpu_per_thousand == 12.0
    assert math.isnan(dataclasses.replace(entry, answers=0).cpu_per_thousand)
