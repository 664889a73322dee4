"""Which graph of a folder is served, by the setting and by a record that must match the files."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime import serve
from imageclassifier_runtime.errors import ModelError
from imageclassifier_runtime.inference import image_headers
from imageclassifier_runtime.inference.pipeline import Classifier
from imageclassifier_runtime.model import digest
from imageclassifier_runtime.model import folder as model_folder
from imageclassifier_runtime.settings.commands import ServeSettings
from imageclassifier_runtime.web.app import model_info

from tests.unit.runtime.support import colour_model, image_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _change_record(folder: Path, **changes: object) -> None:
    file = folder / "quantization.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def _change_preprocessing(folder: Path) -> None:
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"resample": 3}))


def _append(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        # Field 100 of a ModelProto: unknown, and skipped by every reader.
        (folder / name).write_bytes((folder / name).read_bytes() + b"\xa2\x06\x00")

    return change


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no record": (lambda folder: (folder / "quantization.json").unlink(), "has no quantization.json"),
    "no graph": (lambda folder: (folder / "model.int8.onnx").unlink(), "has no model.int8.onnx"),
    "another fp32 graph": (_append("model.onnx"), "is for another model.onnx"),
    "another int8 graph": (_append("model.int8.onnx"), "is for another model.int8.onnx"),
    "another preprocessing": (_change_preprocessing, "is for another preprocessing"),
    "too little agreement": (
        lambda folder: _change_record(folder, agreement={"same": 97, "pictures": 100, "required": 0.975}),
        "97 of 100 pictures",
    ),
    "no picture": (
        lambda folder: _change_record(folder, agreement={"same": 0, "pictures": 0, "required": 0}),
        "0 of 0 pictures",
    ),
    "a later format": (lambda folder: _change_record(folder, format=2), "format 2"),
    "no JSON": (lambda folder: (folder / "quantization.json").write_text("{"), "cannot be read"),
    "no object": (lambda folder: (folder / "quantization.json").write_text("[]"), "cannot be read"),
}


@pytest.fixture
def folder(quantized_path: Path, tmp_path: Path) -> Path:
    return shutil.copytree(quantized_path, tmp_path / "copy")


@pytest.mark.parametrize(
    ("wanted", "served", "graph"),
    [
        ("FP32", "FP32", "model.onnx"),
        ("INT8", "INT8", "model.int8.onnx"),
        ("Auto", "INT8", "model.int8.onnx"),
    ],
)
def test_a_folder_with_an_accepted_int8_graph_serves_the_set_precision(
    folder: Path, wanted: str, served: str, graph: str
) -> None:
    model = model_folder.load(folder, precision=wanted)
    assert (model.info.precision, model.graph) == (served, folder / graph)
    assert model.info.graph_sha256 == hashlib.sha256((folder / graph).read_bytes()).hexdigest()
    assert model.info.sha256 == digest.of_folder(folder)
    found = Classifier.load(model, threads=1).classify(image_headers.read(image_bytes("blue")), 1)
    assert found.predictions[0].class_name == "blue"


@pytest.mark.parametrize("case", BROKEN)
def test_an_int8_graph_without_a_matching_record_is_never_served(folder: Path, case: str) -> None:
    change, cause = BROKEN[case]
    change(folder)
    assert model_folder.load(folder, precision="Auto").info.precision == "FP32"
    with pytest.raises(ModelError, match="imageclassifier quantize") as caught:
        model_folder.load(folder, precision="INT8")
    assert cause in caught.value.message
    assert caught.value.reason == "ModelPrecisionMissing"


def test_a_folder_without_int8_serves_fp32_for_auto_and_fails_for_int8(model_path: Path) -> None:
    assert model_folder.load(model_path, precision="Auto").info.precision == "FP32"
    with pytest.raises(ModelError, match=r"has no model.int8.onnx.*set the precision to FP32 or Auto"):
        model_folder.load(model_path, precision="INT8")


def test_an_int8_graph_with_other_classes_is_always_rejected(folder: Path) -> None:
    (folder / "model.int8.onnx").write_bytes(colour_model(classes=5).SerializeToString())
    with pytest.raises(ModelError, match=r"model.int8.onnx has 32 x 32 pixels and 5 classes, but model.onnx"):
        model_folder.load(folder)


def test_the_digest_of_a_folder_is_that_of_the_sha256sum_lines_of_its_files(
    folder: Path, model_path: Path
) -> None:
    def by_hand(path: Path, *names: str) -> str:
        lines = [f"{hashlib.sha256((path / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    old = ("labels.txt", "model.onnx", "preprocessor_config.json")
    assert digest.of_folder(model_path) == by_hand(model_path, *old)
    new = ("labels.txt", "model.int8.onnx", "model.onnx", "preprocessor_config.json", "quantization.json")
    assert digest.of_folder(folder) == by_hand(folder, *new)


def test_each_file_is_hashed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []

    def of_file(path: Path) -> str:
        hashed.append(path.name)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(digest, "of_file", of_file)
    assert model_folder.load(folder, precision="INT8").info.precision == "INT8"
    assert sorted(hashed) == sorted(digest.MODEL_FILES)


@pytest.mark.parametrize("wanted", ["FP32", "Auto"])
def test_the_server_reports_the_precision_and_the_file_that_it_serves(folder: Path, wanted: str) -> None:
    settings = ServeSettings(model_dir=folder, memory_limit_bytes=1 << 30)
    state, workers = serve.build(settings, model_folder.load(folder, precision=wanted), threads=1)
    try:
        info = model_info(state)
        precision, graph = ("INT8", "model.int8.onnx") if wanted == "Auto" else ("FP32", "model.onnx")
        assert (info["precision"], info["graph_sha256"]) == (precision, digest.of_file(folder / graph))
        assert f'precision="{precision}"' in state.metrics.render().decode()
    finally:
        workers.shutdown()
