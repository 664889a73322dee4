"""Converts a float32 graph to an int8 graph in QDQ format with ONNX Runtime's quantizer."""

from __future__ import annotations

import contextlib
import io
import logging
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import INVALID, ModelError
from imageclassifier_runtime.quantize import ranges
from imageclassifier_runtime.quantize.settings import FIRST, LAST, QuantSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import onnx

    from imageclassifier_runtime.quantize.ranges import Histogram

# Per-channel weights need the QuantizeLinear of opset 13 (https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html).
_OPSET = 13
_LAYERS = ("Conv", "Gemm", "MatMul")
# The operators of MobileNets and similar networks for which ONNX Runtime has integer kernels.
_QUANTIZED = (
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "Conv",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "MatMul",
    "MaxPool",
    "Mul",
    "Pad",
    "Relu",
    "Reshape",
    "Slice",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)


def prepare(graph: Path, workspace: Path) -> onnx.ModelProto:
    """Return the graph with batch norm folded, shapes inferred, every node named, at opset 13 or newer."""
    import onnx  # noqa: PLC0415
    from onnxruntime.quantization import quant_pre_process  # noqa: PLC0415

    model = onnx.load(graph, load_external_data=False)
    (opset,) = [entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}]
    file = workspace / "prepared.onnx"
    try:
        with _quiet():
            if opset < _OPSET:
                graph = workspace / "converted.onnx"
                onnx.save(onnx.version_converter.convert_version(model, _OPSET), graph)
            # A path, not the model: it removes the weights of a model in memory, which Slice needs.
            quant_pre_process(graph, file, skip_symbolic_shape=True)
    except (RuntimeError, ValueError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(INVALID, f"the graph cannot be prepared for quantization: {error}") from error
    prepared = onnx.load(file)
    if not any(node.op_type in _LAYERS for node in prepared.graph.node):
        raise ModelError(INVALID, f"the graph has nothing to quantize: no {', '.join(_LAYERS)}")
    for index, node in enumerate(prepared.graph.node):
        node.name = f"{index}_{node.name or node.op_type}"
    return prepared


def convert(
    prepared: onnx.ModelProto, histograms: Mapping[str, Histogram], settings: QuantSettings
) -> onnx.ModelProto:
    """Return the int8 graph, deterministically; raises ModelError if these settings do not work for the graph."""
    import numpy as np  # noqa: PLC0415
    import onnx  # noqa: PLC0415
    from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType  # noqa: PLC0415
    from onnxruntime.quantization.calibrate import TensorData, TensorsData  # noqa: PLC0415

    covered = {}
    for name, histogram in histograms.items():
        low, high = ranges.find(histogram, settings.ranges)
        covered[name] = TensorData(lowest=np.float32(low), highest=np.float32(high))
    kinds = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}
    model = onnx.ModelProto()
    model.CopyFrom(prepared)
    try:
        with _quiet():
            quantizer = QDQQuantizer(
                model,
                settings.per_channel,
                settings.reduce_range,
                kinds[settings.weights],
                kinds[settings.activations],
                TensorsData(CalibrationMethod.MinMax, covered),
                [],
                _kept(prepared, settings.kept_float),
                list(_QUANTIZED),
                {},
            )
            quantizer.quantize_model()
    except (ValueError, RuntimeError, KeyError) as error:
        raise ModelError(INVALID, f"ONNX Runtime cannot quantize the graph: {error}") from error
    result: onnx.ModelProto = quantizer.model.model
    del result.graph.value_info[:]
    return result


def quantizes(prepared: onnx.ModelProto, settings: QuantSettings) -> bool:
    """Return whether any layer of the graph would become int8."""
    kept = _kept(prepared, settings.kept_float)
    return any(node.op_type in _LAYERS and node.name not in kept for node in prepared.graph.node)


def _kept(model: onnx.ModelProto, roles: tuple[str, ...]) -> list[str]:
    """Return the names of the nodes that stay float32: layers by role, and all nodes before the first layer.

    Nodes before the first layer (a scale, a mirror image) are cheap, and rounding the input affects everything
    after it.
    """
    nodes = [node.name for node in model.graph.node]
    layers = [node.name for node in model.graph.node if node.op_type in _LAYERS]
    places = {FIRST: layers[:1], LAST: layers[-1:]}
    return nodes[: nodes.index(layers[0])] + [name for role in roles for name in places[role]]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the output and log of ONNX Runtime's tools: advice that this module already follows."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
