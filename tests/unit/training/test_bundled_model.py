"""The bundled model: its files are consistent, and it classifies the test pictures as stated."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime
import pytest
from imageclassifier_runtime.model import digest, folder
from training.dataset import CLASSES
from training.evaluate import BUNDLED, count, from_folder, read_pictures

from tests.openapi import SHARED

ARCHIVE = SHARED / "data" / "cifar10-jpeg.tar.xz"


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    return onnx.load(BUNDLED / "model.onnx", load_external_data=False)


def test_the_graph_is_valid_and_both_graphs_have_at_most_5_mb(graph: onnx.ModelProto) -> None:
    onnx.checker.check_model(graph, full_check=True)
    assert sum((BUNDLED / name).stat().st_size for name in ("model.onnx", "model.int8.onnx")) <= 5_000_000


def test_the_input_is_a_batch_of_32_pixel_pictures_and_the_output_a_score_for_each_label() -> None:
    session = onnxruntime.InferenceSession(BUNDLED / "model.onnx", providers=["CPUExecutionProvider"])
    (graph_input,), (output,) = session.get_inputs(), session.get_outputs()
    labels = (BUNDLED / "labels.txt").read_text().splitlines()
    assert (graph_input.name, graph_input.type, graph_input.shape) == (
        "input",
        "tensor(float)",
        ["batch", 3, 32, 32],
    )
    assert (output.name, output.type, output.shape) == ("logits", "tensor(float)", ["batch", len(labels)])
    assert labels == list(CLASSES)


def test_all_weights_are_in_the_file_and_batch_norm_is_folded(graph: onnx.ModelProto) -> None:
    assert "BatchNormalization" not in {node.op_type for node in graph.graph.node}
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in graph.graph.initializer)


def test_a_picture_and_its_mirror_image_have_the_same_scores_in_any_batch() -> None:
    session = onnxruntime.InferenceSession(BUNDLED / "model.onnx", providers=["CPUExecutionProvider"])
    pictures = np.random.default_rng(0).standard_normal((3, 3, 32, 32), dtype=np.float32)
    (expected,) = session.run(None, {"input": pictures})
    (mirrored,) = session.run(None, {"input": np.ascontiguousarray(pictures[:, :, :, ::-1])})
    (alone,) = session.run(None, {"input": pictures[1:2]})
    np.testing.assert_allclose(mirrored, expected, atol=1e-4)
    np.testing.assert_allclose(alone, expected[1:2], atol=1e-4)


def test_the_preprocessing_produces_the_input_of_the_graph() -> None:
    config = json.loads((BUNDLED / "preprocessor_config.json").read_text())
    assert config["size"] == {"shortest_edge": 32}
    assert config["crop_size"] == {"height": 32, "width": 32}
    assert config["do_resize"]
    assert config["do_center_crop"]
    assert config["rescale_factor"] == pytest.approx(1 / 255)
    assert len(config["image_mean"]) == len(config["image_std"]) == 3


def test_the_model_card_states_the_digest_of_these_files() -> None:
    assert digest.of_folder(BUNDLED) in (BUNDLED / "README.md").read_text()


def test_the_int8_graph_that_ships_is_accepted_for_these_files() -> None:
    assert folder.load(BUNDLED, precision="INT8").info.precision == "INT8"


@pytest.fixture(scope="module", params=["FP32", "INT8"])
def measured(request: pytest.FixtureRequest) -> tuple[str, float]:
    """A precision, and its top-1 accuracy in percent on all test pictures, with the server's pipeline."""
    if not ARCHIVE.is_file():
        pytest.skip(
            f"no test pictures: {ARCHIVE.name} is expected in ../shared/data, or in $IMAGECLASSIFIER_SHARED/data"
        )
    pictures, classify = read_pictures(ARCHIVE), from_folder(BUNDLED, request.param)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(classify, (picture.jpeg for picture in pictures)))
    return request.param, 100 * count(zip((picture.label for picture in pictures), found, strict=True)).top1


@pytest.mark.timeout(600)  # 10,000 pictures on a busy machine
def test_the_accuracy_is_at_least_90_percent_and_as_the_model_card_states(measured: tuple[str, float]) -> None:
    precision, top1 = measured
    card = (BUNDLED / "README.md").read_text()
    stated = re.search(r"\*\*([0-9.]+) %\*\*" if precision == "FP32" else r"int8 ([0-9.]+) %", card)
    assert stated is not None
    assert top1 >= 90
    assert top1 == pytest.approx(float(stated[1]), abs=0.1)  # another processor may round differently
