"""A very short run of the whole benchmark with the bundled model: its results are complete and plausible."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from imageclassifier_runtime.model import folder as model_folder
from PIL import Image

from runtime.bench import measure, model, pictures, results
from runtime.bench.errors import BenchError
from runtime.bench.results import BASELINE, LIMIT, SERVER
from tools.paths import REPOSITORY

SHORT = (
    *("--clients", "3", "--rounds", "1", "--seconds", "0.5", "--warmup", "0.2", "--starts", "1"),
    *("--memory-seconds", "0.5", "--memory-curve", "60", "--baseline", "async"),
)


@pytest.mark.timeout(1800)
def test_a_short_run_measures_everything_and_reports_what_it_skipped(tmp_path: Path) -> None:
    bundled = model_folder.bundled(model_folder.BUNDLED_NAME)
    assert bundled is not None
    source = tmp_path / "fp32"
    source.mkdir()
    for name in (model_folder.GRAPH, model_folder.LABELS, model_folder.CONFIG):
        (source / name).write_bytes((bundled / name).read_bytes())
    (tmp_path / "photographs").mkdir()  # empty, so pictures are generated
    command = [
        sys.executable,
        "-m",
        "runtime.bench",
        "--model",
        str(source),
        "--out",
        str(tmp_path / "out"),
        *SHORT,
    ]
    done = subprocess.run(
        [*command, "--photographs", str(tmp_path / "photographs"), "--assert"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    assert "skipping INT8: fp32 has no model.int8.onnx" in done.stdout
    assert "generated pictures, 500x375 JPEG" in done.stdout
    found = results.read(tmp_path / "out" / "results.json")
    assert [(entry.target, entry.precision) for entry in found.slices] == [
        (LIMIT, "FP32"),
        (SERVER, "FP32"),
        (BASELINE, "FP32"),
    ]
    assert all(entry.answers > 0 and entry.cpu_seconds > 0 for entry in found.slices)
    assert all(set(entry.statuses) == {"200"} for entry in found.slices)
    assert [entry.target for entry in found.footprints] == [SERVER, BASELINE]
    assert all(40e6 < entry.pss < 1e9 and entry.imports[0] > 0 for entry in found.footprints)
    assert found.curves[0].points[-1][0] >= 60
    # Both pipelines are correct, so they return the same class for nearly all pictures.
    assert found.agreements[0].same >= 0.9 * found.agreements[0].pictures
    with Image.open(tmp_path / "out" / "results.png") as picture:
        assert picture.format == "PNG"
    assert (
        "50 clients: images/s / limit's: required: at least 0.85" in done.stdout
    )  # not judged, because it was not measured


@pytest.mark.timeout(120)
def test_the_bare_import_loads_every_package_that_the_server_does() -> None:
    program = (
        "import sys, json; before = set(sys.modules); {}; "
        "print(json.dumps(sorted({{name.partition('.')[0] for name in set(sys.modules) - before}} "
        "- set(sys.stdlib_module_names) - {{'imageclassifier_runtime'}})))"
    )
    ours = (  # uvicorn loads uvloop only when it runs
        "import imageclassifier_runtime.serve, imageclassifier_runtime.inference.pipeline, "
        "imageclassifier_runtime.telemetry.metrics, imageclassifier_runtime.web.app, "
        "imageclassifier_runtime.web.server, onnxruntime, uvloop"
    )
    loaded = []
    for imports in (ours, f"import {', '.join(measure.SERVER_IMPORTS)}"):
        done = subprocess.run(
            [sys.executable, "-c", program.format(imports)], capture_output=True, text=True, check=True
        )
        loaded.append(set(json.loads(done.stdout)))
    server, bare = loaded
    assert {"onnxruntime", "numpy", "PIL", "uvicorn", "fastapi"} <= server
    assert server == bare


def test_only_photographs_of_the_right_size_are_used(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    for name, size, kind in (
        ("right.JPEG", (500, 375), "JPEG"),
        ("upright.jpg", (375, 500), "JPEG"),
        ("really-a-png.jpg", (500, 375), "PNG"),
    ):
        Image.new("RGB", size).save(source / name, kind)
    (source / "labels.csv").write_text("x")
    assert pictures.choose(source, out) == 1
    assert [file.name for file in out.iterdir()] == ["right.jpg"]


def test_generated_pictures_are_reproducible_and_as_large_as_photographs(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        assert pictures.generate(folder, 2) == 2
    files = sorted(one.iterdir())
    assert [file.read_bytes() for file in files] == [(two / file.name).read_bytes() for file in files]
    assert all(50_000 < file.stat().st_size < 250_000 for file in files)
    assert files[0].read_bytes() != files[1].read_bytes()


def test_a_bare_graph_becomes_a_folder_that_the_baseline_can_read(tmp_path: Path) -> None:
    bundled = model_folder.bundled(model_folder.BUNDLED_NAME)
    assert bundled is not None
    assert model.write(tmp_path / "out", bundled) == model_folder.BUNDLED_NAME
    config = json.loads((tmp_path / "out" / "preprocessor_config.json").read_text())
    assert config["size"]["shortest_edge"] == 32
    assert len((tmp_path / "out" / "labels.txt").read_text().splitlines()) == 10


def test_the_error_for_a_missing_model_names_it(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="nothing-here"):
        model.write(tmp_path / "out", tmp_path / "nothing-here")
