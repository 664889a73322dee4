"""Graphs that cannot be served are rejected before they are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest
from imageclassifier_runtime.errors import INVALID, ModelError
from imageclassifier_runtime.model.graph import check
from onnx import TensorProto, helper

from tests.unit.runtime.support import colour_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def written(path: Path, model: onnx.ModelProto) -> Path:
    file = path / "model.onnx"
    file.write_bytes(model.SerializeToString())
    return file


def external() -> onnx.TensorProto:
    tensor = TensorProto(name="outside", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


def in_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(external())


def in_attribute(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=external()))


def in_subgraph(model: onnx.ModelProto) -> None:
    graph = helper.make_graph([], "branch", [], [], [external()])
    model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=graph, else_branch=graph))


def in_function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Constant", [], ["c"], value=external())
    model.functions.append(helper.make_function("own", "f", [], ["c"], [node], []))


def in_sparse_initializer(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(external(), external(), [1]))


def test_facts_are_read_from_the_declared_shapes(tmp_path: Path) -> None:
    assert check(written(tmp_path, colour_model())) == (32, 4)
    assert check(written(tmp_path, colour_model(size="side"))) == (None, 4)


@pytest.mark.parametrize("place", [in_initializer, in_attribute, in_subgraph, in_function, in_sparse_initializer])
def test_external_data_is_rejected_everywhere(tmp_path: Path, place: Callable[[onnx.ModelProto], None]) -> None:
    model = colour_model()
    place(model)
    with pytest.raises(ModelError, match="another file") as caught:
        check(written(tmp_path, model))
    assert caught.value.reason == INVALID


@pytest.mark.parametrize(
    ("shape", "kind", "hint"),
    [
        (["N", 32, 32, 3], TensorProto.FLOAT, "NCHW"),
        (["N", 1, 32, 32], TensorProto.FLOAT, r"\[batch, 3, S, S\]"),
        ([8, 3, 32, 32], TensorProto.FLOAT, r"\[batch, 3, S, S\]"),
        (["N", 3, 32, 64], TensorProto.FLOAT, "square"),
        (["N", 3, 32], TensorProto.FLOAT, r"\[batch, 3, S, S\]"),
        (["N", 3, 32, 32], TensorProto.UINT8, "float32"),
    ],
)
def test_inputs_that_are_not_images_are_rejected(
    tmp_path: Path, shape: list[str | int | None], kind: int, hint: str
) -> None:
    model = colour_model()
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", kind, shape))
    with pytest.raises(ModelError, match=hint):
        check(written(tmp_path, model))


def test_the_error_for_two_inputs_names_them(tmp_path: Path) -> None:
    model = colour_model()
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))
    with pytest.raises(ModelError, match="image, mask"):
        check(written(tmp_path, model))


def test_weights_listed_as_inputs_are_ignored(tmp_path: Path) -> None:
    model = colour_model()
    model.graph.input.append(helper.make_tensor_value_info("weights", TensorProto.FLOAT, [3, 4]))
    assert check(written(tmp_path, model)).classes == 4


@pytest.mark.parametrize("shape", [["N", 4, 7, 7], ["N"], ["N", 1]])
def test_outputs_that_are_not_class_scores_are_rejected(tmp_path: Path, shape: list[str | int | None]) -> None:
    model = colour_model()
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape))
    with pytest.raises(ModelError, match="output"):
        check(written(tmp_path, model))
