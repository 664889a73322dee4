"""`imageclassifier quantize`: its parts, and the whole command, which accepts or rejects an int8 graph."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from imageclassifier_runtime.cli import main
from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.inference.session import open_session
from imageclassifier_runtime.model import digest, preprocessing
from imageclassifier_runtime.model import folder as model_folder
from imageclassifier_runtime.quantize import calibrate, convert, judge, pictures, ranges, search
from imageclassifier_runtime.quantize.pictures import Picture
from imageclassifier_runtime.quantize.ranges import BINS, Histogram
from imageclassifier_runtime.quantize.settings import LAST, QuantSettings
from PIL import Image

from tests.unit.runtime.support import LABELS, image_bytes, write_model, write_pictures

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

NAMES = [Picture(name=f"{number:02}.png") for number in range(40)]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


def quantize(folder: Path, photographs: Path, out: Path, *more: str) -> int:
    return main(
        ["quantize", str(folder), "--pictures", str(photographs), "--out", str(out), "--min-speedup", "0", *more]
    )


def test_the_command_writes_a_folder_with_both_graphs_a_record_and_a_report(
    model_path: Path, quantized_path: Path
) -> None:
    assert sorted(path.name for path in quantized_path.iterdir()) == [
        "labels.txt",
        "model.int8.onnx",
        "model.onnx",
        "preprocessor_config.json",
        "quantization.json",
        "quantization_report.json",
    ]
    assert (quantized_path / "model.onnx").read_bytes() == (model_path / "model.onnx").read_bytes()
    record = json.loads((quantized_path / "quantization.json").read_text())
    assert record["int8_sha256"] == digest.of_file(quantized_path / "model.int8.onnx")
    assert record["agreement"] == {"same": 20, "pictures": 20, "required": 0.975}
    assert record["right"] == {"fp32": 20, "int8": 20, "pictures": 20}
    (chosen,) = [
        candidate
        for candidate in json.loads((quantized_path / "quantization_report.json").read_text())["candidates"]
        if candidate["chosen"]
    ]
    assert chosen["settings"] == record["settings"]
    kinds = {node.op_type for node in onnx.load(quantized_path / "model.int8.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds


def test_the_same_input_gives_the_same_bytes(
    model_path: Path, quantized_path: Path, photographs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "again"
    assert quantize(model_path, photographs, out, "--calibrate", "12", "--labels-from-folders") == 0
    assert digest.of_folder(out) == digest.of_folder(quantized_path)


def test_a_graph_below_the_minimum_agreement_is_rejected_and_nothing_is_written(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, listed, out = tmp_path / "pictures", tmp_path / "calibrate.txt", tmp_path / "out"
    folder.mkdir()
    for number in range(8):
        (folder / f"black{number}.png").write_bytes(image_bytes("black"))
        (folder / f"red{number}.png").write_bytes(image_bytes("red"))
    # Ranges seen on black pictures only: whatever is bright is clipped, and looks dark to the int8 graph.
    listed.write_text("".join(f"black{number}.png\n" for number in range(8)))
    assert quantize(model_path, folder, out, "--calibrate", str(listed)) == 1
    assert not out.exists()
    printed = capsys.readouterr()
    assert "0 of 8 pictures" in printed.out
    assert "rejected" in printed.err


def test_unreadable_pictures_are_skipped_and_reported(
    model_path: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(photographs, tmp_path / "pictures")
    (folder / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    assert quantize(model_path, folder, tmp_path / "out", "--calibrate", "12") == 0
    assert "skipped: red/broken.jpg" in capsys.readouterr().err
    report = json.loads((tmp_path / "out" / "quantization_report.json").read_text())
    assert [line.partition(":")[0] for line in report["left_out"]] == ["red/broken.jpg"]


def test_the_model_folder_itself_can_be_the_output(photographs: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    assert quantize(folder, photographs, folder, "--calibrate", "12") == 0
    assert model_folder.load(folder, precision="INT8").info.precision == "INT8"


def _with_something_in_it(path: Path) -> Path:
    path.mkdir()
    (path / "labels.txt").write_text("other\n")
    return path


def _file(path: Path) -> Path:
    path.write_text("")
    return path


def _fetched(path: Path) -> Path:
    write_model(path)
    (path / "model_info.json").write_text('{"name": "m", "sha256": "0", "classes": 4, "input_size": 32}')
    return path


@pytest.mark.parametrize(
    ("place", "cause"),
    [(_with_something_in_it, "is not empty"), (_file, "is not a folder")],
)
def test_an_inconsistent_output_folder_is_rejected(
    model_path: Path,
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    place: Callable[[Path], Path],
    cause: str,
) -> None:
    assert quantize(model_path, photographs, place(tmp_path / "out")) == 2
    assert cause in capsys.readouterr().err


def test_a_folder_that_fetch_wrote_is_not_changed_in_place(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _fetched(tmp_path / "fetched")
    assert quantize(folder, photographs, folder) == 2
    assert "give another --out" in capsys.readouterr().err


def test_the_bundled_model_with_its_mirror_branch_is_quantized_and_agrees(tmp_path: Path) -> None:
    bundled = model_folder.bundled(model_folder.BUNDLED_NAME)
    assert bundled is not None
    model = model_folder.load(bundled)
    draw = np.random.default_rng(0)
    for number in range(24):
        colours = Image.fromarray(draw.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        colours.resize((48, 40), Image.Resampling.BICUBIC).save(tmp_path / f"{number:02}.jpg", quality=90)
    found = pictures.find(tmp_path)
    given = pictures.prepare(tmp_path, found, model.preprocessing, tmp_path / "pictures.npy")
    prepared = convert.prepare(model.graph, tmp_path)
    seen = calibrate.histograms(prepared, given.batch[:12], tmp_path)
    graph = convert.convert(prepared, seen, QuantSettings()).SerializeToString(deterministic=True)
    assert convert.convert(prepared, seen, QuantSettings()).SerializeToString(deterministic=True) == graph
    (tmp_path / "int8.onnx").write_bytes(graph)
    fp32, int8 = (
        judge.probabilities(open_session(path, input_size=32, threads=1), given.batch[12:])
        for path in (model.graph, tmp_path / "int8.onnx")
    )
    assert judge.agreement(fp32, int8, [None] * 12).same >= 11
    assert judge.divergence(fp32, int8) < 0.02
    weights = sum(math.prod(tensor.dims) for tensor in onnx.load(model.graph).graph.initializer)
    assert len(graph) < 0.4 * 4 * weights  # in single precision each has four bytes


def test_nodes_before_the_first_layer_and_named_layers_stay_float(model_path: Path, tmp_path: Path) -> None:
    prepared = convert.prepare(model_path / "model.onnx", tmp_path)
    seen = calibrate.histograms(prepared, np.zeros((2, 3, 32, 32), np.float32), tmp_path)
    plain = convert.convert(prepared, seen, QuantSettings())
    first = next(node for node in plain.graph.node if "image" in node.input)
    assert first.op_type == "GlobalAveragePool"
    assert not convert.quantizes(prepared, QuantSettings(kept_float=(LAST,)))
    kept = convert.convert(prepared, seen, QuantSettings(kept_float=(LAST,)))
    assert "QuantizeLinear" not in {node.op_type for node in kept.graph.node}


def test_histograms_count_every_value_of_every_tensor(model_path: Path, tmp_path: Path) -> None:
    prepared = convert.prepare(model_path / "model.onnx", tmp_path)
    batch = np.random.default_rng(0).standard_normal((3, 3, 32, 32), dtype=np.float32)
    found = calibrate.histograms(prepared, batch, tmp_path)
    image = found["image"]
    assert (image.low, image.high) == (batch.min(), batch.max())
    assert {name: int(histogram.counts.sum()) for name, histogram in found.items()} == {
        "image": 9216,
        "pooled": 9,
        "flat": 9,
        "logits": 12,
    }


def histogram(values: npt.NDArray[np.float64]) -> Histogram:
    counts, _ = np.histogram(values, bins=BINS, range=(values.min(), values.max()))
    return Histogram(float(values.min()), float(values.max()), counts)


def test_ranges_include_zero_and_the_requested_share_of_values() -> None:
    even = histogram(np.linspace(0, 1000, 1_000_001))
    assert ranges.find(even, "min-max") == (0, 1000)
    low, high = ranges.find(even, "percentile 99.9")
    assert low == 0
    assert high == pytest.approx(999.5, abs=0.3)
    assert ranges.find(histogram(np.linspace(5, 9, 1000)), "min-max") == (0, 9)
    assert ranges.find(Histogram(-2, -2, np.zeros(BINS, np.int64)), "entropy") == (-2, 0)


@pytest.mark.parametrize("method", ["percentile 99.9", "entropy"])
@pytest.mark.parametrize("sign", [1, -1])
def test_an_outlier_does_not_widen_the_range(method: str, sign: int) -> None:
    bell = np.random.default_rng(0).standard_normal(100_000)
    found = ranges.find(histogram(sign * np.append(bell, 200.0)), method)
    assert max(abs(found.low), abs(found.high)) < 20
    assert min(abs(found.low), abs(found.high)) > 1


def test_least_squares_has_the_smallest_error() -> None:
    values = np.random.default_rng(0).laplace(size=100_000)
    seen = histogram(values)

    def loss(method: str) -> float:
        low, high = ranges.find(seen, method)
        step = (high - low) / 255
        rounded = np.round(np.clip(values, low, high) / step) * step
        return float(((values - rounded) ** 2).mean())

    assert loss("least squares") == pytest.approx(min(loss(method) for method in ranges.METHODS), rel=0.01)
    assert loss("least squares") < 0.9 * loss("min-max")


def test_pictures_are_split_by_the_seed_into_disjoint_sets() -> None:
    first, others = pictures.split(NAMES, calibrate=10, judge=20, seed=1)
    assert (len(first), len(others)) == (10, 20)
    assert not set(first) & set(others)
    assert pictures.split(NAMES, calibrate=10, judge=20, seed=1) == (first, others)
    assert pictures.split(NAMES, calibrate=10, judge=20, seed=2) != (first, others)


def test_too_few_and_unknown_pictures_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="result in 35 for calibration and 5 for evaluation"):
        pictures.split(NAMES, calibrate=35, judge=20, seed=0)
    (tmp_path / "list.txt").write_text("00.png\nelsewhere.png\n")
    with pytest.raises(SettingsError, match=r"lists 'elsewhere.png'"):
        pictures.split(NAMES, calibrate=tmp_path / "list.txt", judge=20, seed=0)
    with pytest.raises(SettingsError, match="neither a number nor a readable file"):
        pictures.split(NAMES, calibrate=Path("many"), judge=20, seed=0)
    with pytest.raises(SettingsError, match="contains no image files"):
        pictures.find(tmp_path)


def test_labels_come_from_folders_or_from_a_table(tmp_path: Path) -> None:
    found = [Picture(name="train/red/1.png"), Picture(name="blue/2.png")]
    assert [picture.label for picture in pictures.label_by_folder(found, LABELS)] == [0, 2]
    table = tmp_path / "labels.csv"
    for rows in (
        "file,class_index\ntrain/red/1.png,0\nblue/2.png,2\n",
        "label,file\nred,train/red/1.png\nblue,blue/2.png\n",
    ):
        table.write_text(rows)
        assert [picture.label for picture in pictures.label_by_file(found, table, LABELS)] == [0, 2]
    table.write_text("file,label\nblue/2.png,blue\n")
    with pytest.raises(SettingsError, match=r"no row for 1 pictures; the first is train/red/1.png"):
        pictures.label_by_file(found, table, LABELS)
    with pytest.raises(SettingsError, match="'cat' is neither one of the model's 4 labels"):
        pictures.label_by_folder([Picture(name="cat/1.png")], LABELS)


def test_pictures_are_prepared_as_the_server_prepares_them(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"{number}.png").write_bytes(image_bytes("red"))
    how = preprocessing.imagenet(32)
    prepared = pictures.prepare(tmp_path, pictures.find(tmp_path), how, tmp_path / "file.npy")
    assert prepared.batch.shape == (8, 3, 32, 32)
    assert prepared.batch[7, 0, 0, 0] == pytest.approx((1 - how.mean[0]) / how.std[0], abs=1e-5)


def test_agreement_accuracy_and_divergence_are_counted() -> None:
    fp32 = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], np.float32)
    int8 = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], np.float32)
    found = judge.agreement(fp32, int8, [0, 1, 0])
    assert found == (3, 2, 1, 2)
    assert judge.agreement(fp32, int8, [0, None, 0]) == (3, 2, None, None)
    assert judge.divergence(fp32, fp32) == 0
    assert judge.divergence(fp32, int8) == pytest.approx((0.6 - 0.4) * np.log(0.6 / 0.4) / 3, rel=1e-5)
    low, high = judge.Agreement(200, 197, None, None).interval()
    assert [low, high] == pytest.approx([0.957, 0.995], abs=0.001)


def candidate(divergence: float, gain: float, **settings: object) -> search.Candidate:
    return search.Candidate(
        settings=QuantSettings(**settings),  # type: ignore[arg-type]
        graph=Path("none"),
        divergence=divergence,
        agreement=judge.Agreement(100, 100, None, None),
        speed=judge.Speed(gain, 1.0),
    )


def test_the_candidate_closest_to_fp32_that_is_fast_enough_is_chosen() -> None:
    slow, fast, faster = candidate(0.001, 0.9), candidate(0.01, 1.5), candidate(0.02, 3.0)
    assert search.choose([slow, faster, fast], 1.0) is fast
    assert search.choose([slow, faster, fast], 2.0) is faster
    assert search.choose([slow, faster, fast], 4.0) is None
    assert search.choose([slow, faster, fast], 1.0, slack=1.2) is faster
    assert search.choose([slow, faster, fast], 0, slack=1.2) is slow


def test_a_float_layer_must_reduce_the_divergence_enough() -> None:
    plain, hardly, clearly = (
        candidate(0.0100, 2.0),
        candidate(0.0095, 2.0, kept_float=(LAST,)),
        candidate(0.0050, 2.0, kept_float=(LAST,)),
    )
    assert search.choose([plain, hardly], 1.0) is plain
    assert search.choose([plain, clearly], 1.0) is clearly
