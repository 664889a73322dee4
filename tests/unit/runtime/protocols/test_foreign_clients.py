"""Third-party clients against the real server with the bundled model: tritonclient, KServe's, curl."""

from __future__ import annotations

import base64
import dataclasses
import http.client
import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from imageclassifier_runtime.model import folder as model_folder

from tests.unit.runtime.process import Served
from tests.unit.runtime.protocols.foreign.clients import calls
from tests.unit.runtime.support import image_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The first call creates the clients' virtual environment.
pytestmark = pytest.mark.timeout(1800)
MODEL = model_folder.BUNDLED_NAME


@dataclasses.dataclass
class Bench:
    """A server, what is sent to it, and the expected results."""

    address: str
    image: Path
    tensors: Path
    predictions: list[dict[str, Any]]
    scores: list[list[float]]

    @property
    def classes(self) -> list[str]:
        return [f"{p['probability']:f}:{p['class_id']}:{p['class_name']}" for p in self.predictions]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    served = Served()
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "image.jpg").write_bytes(image_bytes("skyblue", "JPEG", (300, 200)))
    values = np.random.default_rng(0).standard_normal((3, 3, 32, 32), np.float32)
    np.save(folder / "tensors.npy", values)
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    connection.request(
        "POST", "/api/v1/classify", (folder / "image.jpg").read_bytes(), {"Content-Type": "image/jpeg"}
    )
    native = json.loads(connection.getresponse().read())
    connection.close()
    graph = model_folder.bundled(MODEL)
    assert graph is not None
    session = onnxruntime.InferenceSession(str(graph / "model.onnx"), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    scores = [session.run(None, {name: row[np.newaxis]})[0][0].tolist() for row in values]
    yield Bench(
        f"127.0.0.1:{served.port}",
        folder / "image.jpg",
        folder / "tensors.npy",
        native["predictions"],
        scores,
    )
    served.kill()


@pytest.fixture(scope="module")
def triton(bench: Bench) -> dict[str, Any]:
    return calls("triton_calls.py", bench.address, MODEL, bench.image, bench.tensors)


@pytest.fixture(scope="module")
def kserve(bench: Bench) -> dict[str, Any]:
    return calls("kserve_calls.py", f"http://{bench.address}", MODEL, bench.image, bench.tensors)


def near(scores: list[list[float]]) -> Any:
    """Compare with a tolerance: threads may add numbers in another order."""
    return pytest.approx(np.array(scores), abs=1e-4)


def test_tritonclient_sees_health_metadata_and_index(triton: dict[str, Any]) -> None:
    assert (triton["live"], triton["ready"], triton["model_ready"], triton["version_ready"]) == (True,) * 4
    assert triton["other_ready"] is False
    assert "binary_tensor_data" in triton["server"]["extensions"]
    assert (triton["metadata"]["name"], triton["metadata"]["versions"]) == (MODEL, ["1"])
    assert triton["index"] == [{"name": MODEL, "version": "1", "state": "READY", "reason": ""}]


def test_tritonclient_sends_images_and_gets_classes(triton: dict[str, Any], bench: Bench) -> None:
    assert triton["classes"] == [bench.classes, bench.classes]
    assert triton["id"] == "seven"


@pytest.mark.parametrize("form", ["binary", "json", "async"])
def test_tritonclient_sends_tensors_and_gets_scores(triton: dict[str, Any], bench: Bench, form: str) -> None:
    assert np.array(triton[form]) == near(bench.scores)


def test_tritonclient_gets_the_classification_extension(triton: dict[str, Any], bench: Bench) -> None:
    order = np.argsort(-np.array(bench.scores), axis=1)[:, :3]
    assert [[int(text.split(":")[1]) for text in row] for row in triton["sorted"]] == order.tolist()


def test_tritonclient_reports_every_error(triton: dict[str, Any]) -> None:
    assert [status for status, _ in triton["errors"]] == ["404", "404", "400", "415", "403", "403"]
    assert "Model 'other' was not found" in triton["errors"][0][1]
    assert "Unknown input 'nothing'" in triton["errors"][2][1]


def test_kserves_client_sees_health_in_both_versions(kserve: dict[str, Any]) -> None:
    v2, v1 = kserve["v2"], kserve["v1"]
    assert (v2["live"], v2["ready"], v2["model_ready"], v2["other_ready"]) == (True, True, True, False)
    assert (v1["live"], v1["model_ready"]) == (True, True)


def test_kserves_client_infers_with_v2(kserve: dict[str, Any], bench: Bench) -> None:
    v2 = kserve["v2"]
    assert v2["classes"] == [bench.classes, bench.classes]
    assert v2["id"] == "nine"
    assert np.array(v2["binary"]) == near(bench.scores)
    assert np.array(v2["json"]) == near(bench.scores)
    assert "Model 'other' was not found" in v2["error"]


def test_kserves_client_predicts_with_v1(kserve: dict[str, Any], bench: Bench) -> None:
    v1 = kserve["v1"]
    names = [prediction["class_name"] for prediction in bench.predictions]
    assert v1["image"]["predictions"][0]["classes"] == names
    assert np.array(v1["tensors"]["predictions"]) == near(bench.scores)
    assert "400 Bad Request" in v1["error"]
    assert '{"b64": "…"}' in v1["error"]


def curl(bench: Bench, path: str, *options: str) -> Any:
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed")
    command = [program, "--silent", "--show-error", "--max-time", "60", *options, f"http://{bench.address}{path}"]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def test_curl_classifies_a_batch(bench: Bench) -> None:
    answer = curl(bench, "/api/v1/classify/batch", "-F", f"file=@{bench.image}", "-F", f"file=@{bench.tensors}")
    assert answer["results"][0]["predictions"] == bench.predictions
    assert answer["results"][1]["problem"]["status"] == 415


def test_curl_sends_an_image_without_json_to_v2(bench: Bench, tmp_path: Path) -> None:
    output = tmp_path / "answer"
    program = shutil.which("curl") or pytest.skip("curl is not installed")
    options = ["-H", "Inference-Header-Content-Length: 0", "--data-binary", f"@{bench.image}", "-o", str(output)]
    url = f"http://{bench.address}/v2/models/{MODEL}/infer"
    subprocess.run([program, "--silent", "--show-error", "--max-time", "60", *options, url], check=True)
    assert bench.classes[0].encode() in output.read_bytes()


def test_curl_predicts_with_v1_and_reads_the_error(bench: Bench, tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"inputs": [{"b64": base64.b64encode(bench.image.read_bytes()).decode()}]}))
    answer = curl(bench, f"/v1/models/{MODEL}:predict?top_k=2", "-d", f"@{request}")
    names = [prediction["class_name"] for prediction in bench.predictions]
    assert answer["outputs"]["classes"] == [names[:2]]
    assert "not found" in curl(bench, "/v1/models/other")["error"]
