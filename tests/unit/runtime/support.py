"""A tiny model that classifies colours, and helpers for the runtime's tests."""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx
    from imageclassifier_runtime.protocols.state import ServerState

LABELS = ("red", "lime", "blue", "dark")
SIZE = 32


def colour_model(classes: int = len(LABELS), size: int | str = SIZE, *, softmax: bool = False) -> onnx.ModelProto:
    """Return a graph whose first scores are the mean of red, green and blue, and the negative of their sum."""
    weights = np.zeros((3, classes), np.float32)
    weights[:, :3] = 4 * np.eye(3)
    if classes > 3:
        weights[:, 3] = -4
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights"], ["logits"]),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"]))
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, size, size])],
        [
            helper.make_tensor_value_info(
                "probabilities" if softmax else "logits", TensorProto.FLOAT, ["N", classes]
            )
        ],
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write_model(path: Path, **options: Any) -> Path:
    """Write a complete model folder and return it."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "model.onnx").write_bytes(colour_model(**options).SerializeToString())
    (path / "labels.txt").write_text("\n".join(LABELS) + "\n")
    config = '{"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}, "resample": 2}'
    (path / "preprocessor_config.json").write_text(config)
    return path


def image_bytes(colour: str = "red", kind: str = "PNG", size: tuple[int, int] = (40, 30), **options: Any) -> bytes:
    """Return a plain image as a file."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind, **options)
    return file.getvalue()


def write_pictures(path: Path, each: int = 8) -> Path:
    """Write `each` plain pictures of every class of the tiny model, as <class>/<number>.png."""
    shades: dict[str, Callable[[int], tuple[int, int, int]]] = {
        "red": lambda step: (255 - step, step, 0),
        "lime": lambda step: (step, 255 - step, 0),
        "blue": lambda step: (0, step, 255 - step),
        "dark": lambda step: (step, step, step),
    }
    for name, shade in shades.items():
        (path / name).mkdir(parents=True)
        for number in range(each):
            picture = Image.new("RGB", (40, 32), shade(4 * number))
            picture.save(path / name / f"{number}.png")
    return path


@dataclasses.dataclass
class Running:
    """A server in this process, and a client that calls it without sockets."""

    state: ServerState
    client: httpx.AsyncClient
