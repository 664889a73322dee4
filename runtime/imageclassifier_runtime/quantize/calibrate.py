"""Collects histograms of a graph's tensors over calibration pictures: one histogram per tensor.

ONNX Runtime's own calibrators keep every tensor of every picture before they count, which is gigabytes for a
hundred photographs, and start again for each method. Here the pictures are run twice, once for the ends of each
histogram and once to fill it, one picture in memory at a time; every method then uses the same histograms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imageclassifier_runtime.errors import INVALID, ModelError
from imageclassifier_runtime.inference.session import session_options
from imageclassifier_runtime.quantize.ranges import BINS, Histogram

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt
    import onnx

    Batches = npt.NDArray[np.float32]


def histograms(graph: onnx.ModelProto, pictures: Batches, workspace: Path) -> dict[str, Histogram]:
    """Return a histogram for every float tensor of the graph, by name.

    `pictures` is [N, 3, S, S], prepared as for serving; `graph` has its shapes inferred. Raises ModelError for
    values that are not finite.
    """
    names, session = _session_with_all_outputs(graph, workspace)
    ends = dict.fromkeys(names, (np.inf, -np.inf))
    for name, values in _values(session, names, pictures):
        low, high = ends[name]
        ends[name] = min(low, float(values.min())), max(high, float(values.max()))
    for name, (low, high) in ends.items():
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ModelError(INVALID, f"tensor {name!r} has values that are not finite for these pictures")
    counts = {name: np.zeros(BINS, np.int64) for name in names}
    for name, values in _values(session, names, pictures):
        low, high = ends[name]
        scale = BINS / (high - low) if high > low else 0.0
        places = values.ravel() - np.float32(low)
        places *= np.float32(scale)
        counts[name] += np.bincount(np.minimum(places.astype(np.intp), BINS - 1), minlength=BINS)
    return {name: Histogram(*ends[name], counts[name]) for name in names}


def _values(session: Any, names: list[str], pictures: Batches) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Yield the name and the values of every tensor, for one picture after the other."""
    input_name, *outputs = names
    for index in range(len(pictures)):
        batch = np.asarray(pictures[index : index + 1])
        yield input_name, batch
        yield from zip(outputs, session.run(outputs, {input_name: batch}), strict=True)


def _session_with_all_outputs(graph: onnx.ModelProto, workspace: Path) -> tuple[list[str], Any]:
    """Return the names of the float tensors, the input first, and a session that outputs all the others."""
    import onnx  # noqa: PLC0415
    import onnxruntime  # noqa: PLC0415

    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    weights = {tensor.name for tensor in copy.graph.initializer}
    (input_name,) = (entry.name for entry in copy.graph.input if entry.name not in weights)
    outputs = {entry.name for entry in copy.graph.output}
    inner = [
        entry
        for entry in copy.graph.value_info
        if entry.type.tensor_type.elem_type == onnx.TensorProto.FLOAT and entry.name not in weights | outputs
    ]
    copy.graph.output.extend(inner)
    file = workspace / "all_outputs.onnx"
    file.write_bytes(copy.SerializeToString(deterministic=True))
    session = onnxruntime.InferenceSession(str(file), session_options(1), providers=["CPUExecutionProvider"])
    float_outputs = [
        entry.name for entry in copy.graph.output if entry.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    ]
    return [input_name, *float_outputs], session
