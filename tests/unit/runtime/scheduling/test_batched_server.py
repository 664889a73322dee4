"""A server with batching: the same results, its metrics, and models that cannot be batched."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from imageclassifier_runtime import serve
from imageclassifier_runtime.errors import INVALID, ModelError, SettingsError
from imageclassifier_runtime.inference.pipeline import Classifier, Outcome, Prepared
from imageclassifier_runtime.inference.session import Session
from imageclassifier_runtime.model import folder as model_folder
from imageclassifier_runtime.settings.commands import ServeSettings
from onnx import TensorProto, helper

from tests.unit.runtime.support import LABELS, Running, colour_model, image_bytes, write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imageclassifier_runtime.inference.session import FloatArray

CLASSIFY = "/api/v1/classify"
RAW = {"Content-Type": "image/png"}


def metric(text: str, name: str) -> float:
    found = re.search(rf"^imageclassifier_{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found is not None
    return float(found[1])


@pytest.fixture
def batched(make_server: Callable[..., Running]) -> Running:
    return make_server(max_batch_size=4, max_queue_delay_milliseconds=1000)


async def test_concurrent_images_share_inferences_and_get_their_own_classes(batched: Running) -> None:
    async def ask(number: int) -> dict[str, object]:
        content = image_bytes(LABELS[number % 3])
        response = await batched.client.post(CLASSIFY, content=content, headers=RAW)
        assert response.status_code == 200
        answer: dict[str, object] = response.json()
        return answer

    answers = await asyncio.gather(*(ask(number) for number in range(24)))
    names = [answer["predictions"][0]["class_name"] for answer in answers]  # type: ignore[index]
    assert names == [LABELS[number % 3] for number in range(24)]
    stages = {"receive", "queue", "decode", "preprocess", "inference", "postprocess", "total"}
    assert all(set(answer["timings_ms"]) == stages for answer in answers)  # type: ignore[call-overload]
    text = (await batched.client.get("/metrics")).text
    batches, inputs = metric(text, "batch_size_count"), metric(text, "batch_size_sum")
    assert inputs == 24
    assert batches <= 12
    assert metric(text, "queue_depth") == metric(text, "in_flight_requests") == 0
    admission = batched.state.admission
    assert admission.pixels.free == admission.pixels.capacity
    assert admission.bodies.free == admission.bodies.capacity


async def test_the_items_of_one_request_share_inferences_in_every_protocol(batched: Running) -> None:
    files = [("file", ("x", image_bytes(LABELS[number % 3]))) for number in range(8)]
    answer = await batched.client.post(f"{CLASSIFY}/batch", files=files)
    names = [result["predictions"][0]["class_name"] for result in answer.json()["results"]]
    assert names == [LABELS[number % 3] for number in range(8)]
    name = batched.state.classifier.model.info.name
    tensors = np.zeros((4, 3, 32, 32), np.float32)
    tensors[range(4), [0, 1, 2, 0]] = 1
    rows = await batched.client.post(f"/v1/models/{name}:predict", json={"instances": tensors.tolist()})
    assert [int(np.argmax(row)) for row in rows.json()["predictions"]] == [0, 1, 2, 0]
    text = (await batched.client.get("/metrics")).text
    assert metric(text, "batch_size_sum") == 12
    assert metric(text, "batch_size_count") <= 6


async def test_a_bad_tensor_is_reported_and_concurrent_requests_succeed(
    batched: Running,
) -> None:
    bad = [[[[1e39] * 32] * 32] * 3]
    name = batched.state.classifier.model.info.name
    refused, answered = await asyncio.gather(
        batched.client.post(f"/v1/models/{name}:predict", json={"instances": bad}),
        batched.client.post(CLASSIFY, content=image_bytes("lime"), headers=RAW),
    )
    assert refused.status_code == 400
    assert "NaN or an infinity" in refused.json()["error"]
    assert answered.json()["predictions"][0]["class_name"] == "lime"


async def test_without_batching_no_batch_is_counted(server: Running) -> None:
    assert server.state.batcher is None
    await server.client.post(CLASSIFY, content=image_bytes(), headers=RAW)
    assert metric((await server.client.get("/metrics")).text, "batch_size_count") == 0


def test_the_bundled_model_gives_equal_results_with_and_without_batching() -> None:
    bundled = model_folder.bundled(model_folder.BUNDLED_NAME)
    assert bundled is not None
    classifier = Classifier.load(model_folder.load(bundled), threads=1)
    random = np.random.default_rng(0)
    inputs = [random.standard_normal(classifier.input_shape, np.float32) for _ in range(13)]
    together = classifier.infer_together([Prepared(values, 10) for values in inputs])
    for values, outcome in zip(inputs, together, strict=True):
        assert isinstance(outcome, Outcome)
        alone = classifier.infer(values, 10)
        assert outcome.predictions[0].class_id == alone.predictions[0].class_id
        assert np.allclose(outcome.scores, alone.scores, atol=1e-3)
        probabilities = {entry.class_id: entry.probability for entry in alone.predictions}
        for entry in outcome.predictions:
            assert entry.probability == pytest.approx(probabilities[entry.class_id], abs=1e-4)


def test_a_batch_accepts_unaligned_and_byte_swapped_tensors(model_path: Path) -> None:
    classifier = Classifier.load(model_folder.load(model_path), threads=1)
    values = np.zeros(classifier.input_shape, np.float32)
    values[1] = 1
    odd = np.frombuffer(b"x" + values.astype(">f4").tobytes(), ">f4", offset=1).reshape(values.shape)
    outcomes = classifier.infer_together([Prepared(odd, 1), Prepared(values, 1)])
    assert [entry.predictions[0].class_id for entry in outcomes if isinstance(entry, Outcome)] == [1, 1]


def fixed_axis() -> onnx.ModelProto:
    model = colour_model()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    return model


def with_nodes(*nodes: onnx.NodeProto, weights: tuple[onnx.TensorProto, ...] = ()) -> onnx.ModelProto:
    """Return the tiny model with nodes from `logits` to `out` appended."""
    model = colour_model()
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(weights)
    model.graph.output[0].name = "out"
    return model


def fixed_batch_of_one() -> onnx.ModelProto:
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1, len(LABELS)])
    return with_nodes(helper.make_node("Reshape", ["logits", "shape"], ["out"]), weights=(shape,))


def softmax_over_the_batch() -> onnx.ModelProto:
    return with_nodes(helper.make_node("Softmax", ["logits"], ["out"], axis=0))


def ranges_from_the_batch() -> onnx.ModelProto:
    return with_nodes(
        helper.make_node("DynamicQuantizeLinear", ["logits"], ["small", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["small", "scale", "zero"], ["out"]),
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (fixed_axis, "takes 1 image at a time"),
        (fixed_batch_of_one, "cannot take two images at a time"),
        (softmax_over_the_batch, "differently in a batch than alone"),
        (ranges_from_the_batch, "differently in a batch than alone"),
    ],
)
def test_a_model_that_cannot_be_batched_is_rejected_with_a_remedy_and_served_without_batching(
    tmp_path: Path, make: Callable[[], onnx.ModelProto], message: str
) -> None:
    path = write_model(tmp_path / "model")
    (path / "model.onnx").write_bytes(make().SerializeToString())
    settings = ServeSettings(model_dir=path, memory_limit_bytes=1 << 30, max_batch_size=8)
    with pytest.raises(ModelError, match=message) as caught:
        serve.build(settings, model_folder.load(path), threads=1)
    assert caught.value.reason == INVALID
    assert "leave batching off (a batch size of 1)" in caught.value.message
    plain = ServeSettings(model_dir=path, memory_limit_bytes=1 << 30)
    state, workers = serve.build(plain, model_folder.load(path), threads=1)
    workers.shutdown()
    assert state.batcher is None


@pytest.fixture
def inferences(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return a list that records the session and the batch size of each inference."""
    plain: Callable[[Session, FloatArray], FloatArray] = Session.run
    seen: list[tuple[int, int]] = []

    def run(self: Session, batch: FloatArray) -> FloatArray:
        seen.append((id(self), len(batch)))
        return plain(self, batch)

    monkeypatch.setattr(Session, "run", run)
    return seen


@pytest.mark.parametrize(("room", "reached"), [(100, 8), (40, 4), (1000, 64)])
def test_warm_up_stops_before_a_batch_that_would_not_fit(
    model_path: Path, inferences: list[tuple[int, int]], room: int, reached: int
) -> None:
    classifier = Classifier.load(model_folder.load(model_path), threads=1)
    inferences.clear()

    def largest() -> int:
        return max((size for _, size in inferences), default=1)

    def spare() -> int:
        return (room - 10 * (largest() - 1)) << 20  # 10 MiB for each image after the first

    if reached == 64:
        # half of the memory that the batches took, because sizes are mixed
        assert classifier.warm_up(1, 64, spare) == (630 // 2) << 20
    else:
        with pytest.raises(SettingsError, match=f"batches of up to 64 do not fit.*those of {reached} take"):
            classifier.warm_up(1, 64, spare)
    assert largest() == reached


@pytest.mark.parametrize(("threads", "sessions"), [(1, 1), (2, 2)])
def test_warm_up_runs_the_largest_batch_in_every_session(
    model_path: Path, inferences: list[tuple[int, int]], threads: int, sessions: int
) -> None:
    classifier = Classifier.load(model_folder.load(model_path), threads=threads)
    inferences.clear()
    classifier.warm_up(threads, 6)
    largest = [session for session, size in inferences if size == 6]
    assert max(size for _, size in inferences) == 6
    assert len(set(largest)) == sessions
    assert len(largest) == threads + sessions - 1


def test_the_settings_of_batching() -> None:
    plain = ServeSettings.from_env({})
    assert (plain.max_batch_size, plain.max_queue_delay_milliseconds) == (1, 2)
    env = {"IMAGECLASSIFIER_MAX_BATCH_SIZE": "8", "IMAGECLASSIFIER_MAX_QUEUE_DELAY_MILLISECONDS": "0"}
    given = ServeSettings.from_env(env)
    assert (given.max_batch_size, given.max_queue_delay_milliseconds) == (8, 0)
    for name, value in (
        ("MAX_BATCH_SIZE", "0"),
        ("MAX_BATCH_SIZE", "65"),
        ("MAX_QUEUE_DELAY_MILLISECONDS", "1001"),
    ):
        with pytest.raises(SettingsError, match=name):
            ServeSettings.from_env({f"IMAGECLASSIFIER_{name}": value})
    with pytest.raises(SettingsError, match="no batch would ever be full"):
        ServeSettings.from_env({**env, "IMAGECLASSIFIER_MAX_QUEUE_SIZE": "7"})
