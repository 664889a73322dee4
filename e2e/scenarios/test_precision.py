"""`spec.model.precision`: Auto serves int8 if the model has it, else fp32; INT8 of a model without it fails."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.cli import main as imageclassifier
from imageclassifier_runtime.model import digest
from imageclassifier_runtime.model.folder import GRAPH, bundled
from imageclassifier_runtime.model.quantization import INT8_GRAPH
from PIL import Image

from e2e import model_store
from e2e.classifiers import (
    condition,
    manifest,
    wait_for_endpoint,
    wait_for_reason,
    wait_for_response,
    wait_until_ready,
)
from e2e.measure.first_response import PHOTOGRAPH
from e2e.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.cluster.api import Object
    from e2e.kube import Kube

_FP32_FILES = ("labels.txt", GRAPH, "preprocessor_config.json")


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model with its fp32 graph only."""
    source = bundled(model_store.BUNDLED)
    assert source is not None
    folder = tmp_path_factory.mktemp("fp32")
    for name in _FP32_FILES:
        shutil.copy(source / name, folder)
    return folder


@pytest.fixture(scope="module")
def both_precisions(fp32: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model with its fp32 graph and an int8 graph, calibrated on parts of one photograph.

    Its accuracy does not matter here, so the thresholds are 0.
    """
    pictures = tmp_path_factory.mktemp("pictures")
    with Image.open(PHOTOGRAPH) as photograph:
        width, height = photograph.size
        for number in range(16):
            left, top = number % 4 * width // 8, number // 4 * height // 8
            photograph.crop((left, top, left + width // 2, top + height // 2)).save(pictures / f"{number}.png")
    out = tmp_path_factory.mktemp("int8") / "model"
    flags = ["--calibrate", "8", "--min-agreement", "0", "--min-speedup", "0"]
    assert imageclassifier(["quantize", str(fp32), "--pictures", str(pictures), "--out", str(out), *flags]) == 0
    return out


def _store(kube: Kube, store: str, source: Path, *, folder: str) -> dict[str, str]:
    """Copy a model's files into a folder of the store, and return its `spec.model`."""
    for name in digest.MODEL_FILES:
        if (source / name).is_file():
            model_store.put(kube, store, source / name, folder=folder)
    return {"uri": model_store.url(store, f"{folder}/"), "sha256": digest.of_folder(source)}


def _wait_for_graph(kube: Kube, namespace: str, photograph: bytes, *, graph: Path, precision: str) -> Object:
    """Wait until this graph is served, and return `status.model`."""
    live = wait_until_ready(kube, "pets", namespace=namespace)
    endpoint = wait_for_endpoint(kube, "pets", namespace=namespace)
    expected = (precision, digest.of_file(graph))
    assert wait_for_response(endpoint, photograph)["model"]["sha256"] == live["status"]["model"]["sha256"]

    def served() -> tuple[str, str]:
        # a new connection each time, since a terminating pod keeps serving on an old one
        with endpoint.client() as client:
            info = client.get("/api/v1/model/info").json()
        return info["precision"], info["graph_sha256"]

    until(
        lambda: served() == expected, seconds=30, what=f"{expected} to be served", describe=lambda: str(served())
    )
    status: Object = live["status"]["model"]
    return status


def test_auto_serves_the_int8_graph_of_a_folder_that_has_one(
    kube: Kube, namespace: str, store: str, both_precisions: Path, photograph: bytes
) -> None:
    model = _store(kube, store, both_precisions, folder="both-precisions") | {"precision": "Auto"}
    kube.apply(manifest("pets", namespace=namespace, spec={"model": model}))
    status = _wait_for_graph(kube, namespace, photograph, graph=both_precisions / INT8_GRAPH, precision="INT8")
    assert (status["precision"], status["sha256"]) == ("INT8", model["sha256"])
    assert "INT8" in kube.kubectl("get", "ic", "pets", f"--namespace={namespace}", "-o", "wide")

    model["precision"] = "FP32"
    kube.apply(manifest("pets", namespace=namespace, spec={"model": model}))
    status = _wait_for_graph(kube, namespace, photograph, graph=both_precisions / GRAPH, precision="FP32")
    assert status["precision"] == "FP32"


def test_int8_of_a_model_without_it_is_rejected_and_auto_serves_fp32(
    kube: Kube, namespace: str, store: str, fp32: Path, photograph: bytes
) -> None:
    model = _store(kube, store, fp32, folder="fp32-alone") | {"precision": "INT8"}
    kube.apply(manifest("pets", namespace=namespace, spec={"model": model}))
    live = wait_for_reason(kube, "pets", "ModelPrecisionMissing", namespace=namespace)
    message = condition(live, "Ready")["message"]
    assert "has no model.int8.onnx" in message
    assert "set the precision to FP32 or Auto" in message
    assert condition(live, "Stalled")["status"] == "True"
    assert "ModelPrecisionMissing" in kube.kubectl("get", "ic", "pets", f"--namespace={namespace}")

    model["precision"] = "Auto"
    kube.apply(manifest("pets", namespace=namespace, spec={"model": model}))
    status = _wait_for_graph(kube, namespace, photograph, graph=fp32 / GRAPH, precision="FP32")
    assert status["precision"] == "FP32"
