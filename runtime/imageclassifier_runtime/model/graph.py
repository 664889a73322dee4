"""Validates a graph before it is served: one image as input, scores as output, no external data."""

from __future__ import annotations

import functools
import importlib.util
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any, NamedTuple

from imageclassifier_runtime.errors import INVALID, ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import onnx
    from google.protobuf.message import Message


class GraphFacts(NamedTuple):
    """Square input size in pixels and number of classes; None if the graph leaves it open."""

    input_size: int | None
    classes: int | None

    def text(self) -> str:
        """Return a description for messages."""
        size, classes = self.input_size or "?", self.classes or "?"
        return f"{size} x {size} pixels and {classes} classes"


def check(path: Path) -> GraphFacts:
    """Parse an ONNX file and return its facts; raises ModelError (ModelInvalid)."""
    messages = _messages()
    try:
        model = messages.ModelProto.FromString(path.read_bytes())
    except Exception as error:  # protobuf's own error type differs between its implementations
        if type(error).__name__ not in {"DecodeError", "EncodeError", "RuntimeError", "ValueError"}:
            raise
        raise _invalid("the file is not an ONNX model") from error
    if not model.graph.node or not model.ir_version:
        raise _invalid("the file is not an ONNX model: it has no graph")
    _reject_external_data(model)
    return GraphFacts(_input_size(model.graph), _class_count(model.graph))


@functools.cache
def _messages() -> Any:
    """Return the module of ONNX's protobuf messages, loaded without the package around it.

    The package imports numpy and more, which takes three times as long as parsing a graph.
    """
    package = importlib.util.find_spec("onnx")
    spec = package and PathFinder.find_spec("onnx_ml_pb2", package.submodule_search_locations)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("onnx.onnx_ml_pb2 was not found")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _reject_external_data(model: onnx.ModelProto) -> None:
    for tensor in _tensors(model):
        if tensor.data_location == 1 or tensor.external_data:
            raise _invalid(
                f"tensor {tensor.name!r} keeps its data in another file, which is not allowed: "
                "save the model as one file (onnx.save with save_as_external_data=False)"
            )


def _tensors(message: Message) -> Iterator[onnx.TensorProto]:
    """Yield every nested TensorProto: initializers, attributes, subgraphs, functions, sparse values."""
    kind, stack = _messages().TensorProto, [message]
    while stack:
        current = stack.pop()
        if isinstance(current, kind):
            yield current
            continue
        for field, value in current.ListFields():
            if field.message_type is None:
                continue
            stack.extend(value if hasattr(value, "__len__") else [value])


def _input_size(graph: onnx.GraphProto) -> int | None:
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [entry for entry in graph.input if entry.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(entry.name for entry in inputs) or "none"
        raise _invalid(f"the model must have exactly one input, an image; it has {len(inputs)} ({names})")
    tensor = inputs[0].type.tensor_type
    shape = _shape(tensor)
    text = _shape_text(shape)
    if tensor.elem_type != 1:
        raise _invalid(f"the input {inputs[0].name!r} must be float32, not ONNX element type {tensor.elem_type}")
    if len(shape) != 4 or shape[0] not in {None, 1} or shape[1] not in {None, 3}:
        hint = " (channels come second: export as NCHW)" if len(shape) == 4 and shape[3] == 3 else ""
        raise _invalid(f"the input {inputs[0].name!r} must be [batch, 3, S, S], not {text}{hint}")
    if shape[2] != shape[3] or (shape[2] is not None and not 1 <= shape[2] <= 4096):
        raise _invalid(f"the input {inputs[0].name!r} must be square, at most 4096 pixels a side, not {text}")
    return shape[2]


def _class_count(graph: onnx.GraphProto) -> int | None:
    if not graph.output:
        raise _invalid("the model has no output")
    output = graph.output[0]
    tensor = output.type.tensor_type
    shape = _shape(tensor)
    if tensor.elem_type != 1:
        raise _invalid(f"the output {output.name!r} must be float32 scores")
    if shape and (len(shape) != 2 or shape[0] not in {None, 1} or (shape[1] is not None and shape[1] < 2)):
        raise _invalid(f"the first output {output.name!r} must be [batch, classes], not {_shape_text(shape)}")
    return shape[1] if shape else None


def _shape(tensor: onnx.TypeProto.Tensor) -> list[int | None]:
    return [
        int(dim.dim_value) if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in tensor.shape.dim
    ]


def _shape_text(shape: list[int | None]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def _invalid(message: str) -> ModelError:
    return ModelError(INVALID, message)
