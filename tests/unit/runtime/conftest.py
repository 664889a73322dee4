"""A tiny model that tells colours apart, and a server around it: every test runs without files from elsewhere."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import onnx
import pytest
from imageclassifier_runtime import serve
from imageclassifier_runtime.model import folder as model_folder
from imageclassifier_runtime.settings import ServeSettings
from imageclassifier_runtime.web.app import create_app
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from imageclassifier_runtime.web.state import ServerState

LABELS = ("red", "green", "blue", "dark")
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


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "colours")


@dataclasses.dataclass
class Running:
    """A server in this process, and a client that talks to it without sockets."""

    state: ServerState
    client: httpx.AsyncClient


StartServer = "Callable[..., Running]"


@pytest.fixture
def make_state(model_path: Path) -> Iterator[Callable[..., ServerState]]:
    executors = []

    def make(**changes: Any) -> ServerState:
        settings = ServeSettings(model_dir=model_path, memory_limit_bytes=1 << 30, **changes)
        state, executor = serve.build(settings, model_folder.load(model_path), threads=1)
        executors.append(executor)
        state.lifecycle.ready = True
        return state

    yield make
    for executor in executors:
        executor.shutdown()


@pytest.fixture
async def make_server(make_state: Callable[..., ServerState]) -> AsyncIterator[Callable[..., Running]]:
    clients = []

    def make(**changes: Any) -> Running:
        state = make_state(**changes)
        transport = httpx.ASGITransport(create_app(state))
        client = httpx.AsyncClient(transport=transport, base_url="http://server", timeout=60)
        clients.append(client)
        return Running(state, client)

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
def server(make_server: Callable[..., Running]) -> Running:
    return make_server()
