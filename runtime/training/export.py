"""Exports a training run to a model folder: `python -m training.export --run FOLDER --out FOLDER`.

The graph is written node by node rather than traced: it is small, the batch norms are folded into the
convolutions, and the same weights give the same bytes. It contains one network for the end of each training cycle,
a snapshot ensemble (Huang et al., 2017), and returns the mean of their scores. Each network processes the picture
and its mirror image, and averages the features before its last layer: mirroring does not change the class of a
picture in this data set. Weights are stored in half precision, and converted to single precision when the graph is
loaded.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from training import augment
from training.dataset import CLASSES, SIDE
from training.network import HEAD_CHANNELS, ConvNorm, InvertedResidual, MobileNetV2, folded

OPSET = 17
IR_VERSION = 8
MAX_BYTES = 5_000_000
# The maximum change of a score by half-precision weights.
TOLERANCE = 0.01
BILINEAR = 2


class Graph:
    """A graph under construction; every node's output is named by its number."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, value: Tensor) -> str:
        """Add a small weight and return its name."""
        array = np.ascontiguousarray(value.detach().numpy().astype(np.float32))
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def kernel(self, name: str, value: Tensor) -> str:
        """Add a large weight in half precision with a cast to single precision, and return the cast's output."""
        array = np.ascontiguousarray(value.detach().numpy().astype(np.float16))
        self.weights.append(numpy_helper.from_array(array, name))
        return self.node("Cast", [name], to=TensorProto.FLOAT)

    def node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def numbers(self, name: str, values: list[int]) -> str:
        """Add an integer input of a node and return its name."""
        self.weights.append(numpy_helper.from_array(np.array(values, dtype=np.int64), name))
        return name

    def scores(self, network: MobileNetV2, views: str, count: str) -> str:
        """Add a network that averages the features of a picture's views before its last layer."""
        value = views
        for layer in network.features:
            if isinstance(layer, InvertedResidual):
                before = value
                for block in layer.layers:
                    assert isinstance(block, ConvNorm)
                    value = self.convolution(block, value)
                value = self.node("Add", [before, value]) if layer.shortcut else value
            else:
                assert isinstance(layer, ConvNorm)
                value = self.convolution(layer, value)
        value = self.node("GlobalAveragePool", [value])
        value = self.node("ReduceMean", [self.node("Reshape", [value, count])], axes=[0], keepdims=0)
        prefix = f"classifier_{len(self.nodes)}"
        weight = self.kernel(f"{prefix}.weight", network.classifier.weight)
        bias = self.weight(f"{prefix}.bias", network.classifier.bias)
        return self.node("Gemm", [value, weight, bias], transB=1)

    def mirrored(self, value: str) -> str:
        """Add a horizontal flip."""
        last, beyond_first = self.numbers("last", [-1]), self.numbers("beyond_first", [np.iinfo(np.int64).min])
        return self.node("Slice", [value, last, beyond_first, self.numbers("columns", [3]), last])

    def convolution(self, block: ConvNorm, value: str) -> str:
        """Add a convolution with folded batch norm, and its ReLU6 if it has one."""
        layer = block[0]
        assert isinstance(layer, nn.Conv2d)
        weight, bias = folded(block)
        prefix = f"conv_{len(self.nodes)}"
        out = self.node(
            "Conv",
            [value, self.kernel(f"{prefix}.weight", weight), self.weight(f"{prefix}.bias", bias)],
            kernel_shape=list(layer.kernel_size),
            strides=list(layer.stride),
            pads=[*layer.padding, *layer.padding],
            group=layer.groups,
        )
        return self.node("Clip", [out, "zero", "six"]) if isinstance(block[-1], nn.ReLU6) else out


def to_onnx(networks: Sequence[MobileNetV2]) -> onnx.ModelProto:
    """The mean of the networks at inference: input [batch, 3, 32, 32] to logits [batch, classes]."""
    graph = Graph()
    graph.weight("zero", torch.tensor(0.0))
    graph.weight("six", torch.tensor(6.0))
    views = graph.node("Concat", ["input", graph.mirrored("input")], axis=0)
    count = graph.numbers("views", [2, -1, HEAD_CHANNELS])
    scores = [graph.scores(network, views, count) for network in networks]
    graph.nodes.append(helper.make_node("Mean", scores, ["logits"], name="mean"))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "cifar10-mobilenet-v2",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(CLASSES)])],
            graph.weights,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="imageclassifier",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def preprocessing() -> dict[str, object]:
    """preprocessor_config.json: a photograph's short side becomes 32 pixels, then a centre crop."""
    return {
        "do_resize": True,
        "size": {"shortest_edge": SIDE},
        "resample": BILINEAR,
        "do_center_crop": True,
        "crop_size": {"height": SIDE, "width": SIDE},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(augment.MEAN),
        "image_std": list(augment.STD),
    }


def difference(networks: Sequence[MobileNetV2], graph: bytes) -> float:
    """The maximum difference between the logits of the graph and of the networks, on random pictures."""
    pictures = torch.randn(64, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        views = (pictures, pictures.flip(3))
        expected = torch.stack([network.eval()(view) for network in networks for view in views]).mean(0).numpy()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (actual,) = session.run(["logits"], {"input": pictures.numpy()})
    return float(np.abs(actual - expected).max())


def network_of(checkpoint: Path) -> MobileNetV2:
    """The averaged network that training saved."""
    state = torch.load(checkpoint, weights_only=True)
    network = MobileNetV2(width=state["recipe"]["width"])
    network.load_state_dict(state["average"])
    return network


def main() -> None:
    """Read the arguments and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--run", type=Path, required=True, help="folder of the training run, with a cycle-N.pt for each cycle"
    )
    parser.add_argument("--out", type=Path, required=True, help="the model folder")
    arguments = parser.parse_args()
    snapshots = sorted(arguments.run.glob("cycle-*.pt"))
    if not snapshots:
        raise SystemExit(f"{arguments.run} has no cycle-1.pt: the first training cycle has not finished")
    networks = [network_of(path) for path in snapshots]
    graph = to_onnx(networks).SerializeToString(deterministic=True)
    error = difference(networks, graph)
    if error > TOLERANCE or len(graph) > MAX_BYTES:
        raise SystemExit(f"not written: {len(graph)} bytes, and logits differ by {error:.2g} from the networks'")
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "model.onnx").write_bytes(graph)
    (arguments.out / "labels.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    (arguments.out / "preprocessor_config.json").write_text(json.dumps(preprocessing(), indent=2) + "\n")
    print(f"{arguments.out}: {len(graph)} bytes, {len(networks)} snapshots, logits differ by {error:.1e} at most")


if __name__ == "__main__":
    main()
