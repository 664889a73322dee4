"""Checks that every protocol returns the class of a simple pipeline (Pillow, NumPy, ONNX Runtime, no shortcuts).

    python -m tests.acceptance.agreement [--model FOLDER] [--photographs FOLDER] [--precision INT8] [--assert]

The simple pipeline is that of the benchmark's baseline, in FP32, after the image's orientation is applied. Each
photograph is classified by it and by a running server, in every protocol. With a `labels.csv` (`file`,
`class_index`) in the folder of the photographs, the accuracy is reported, too.
"""

from __future__ import annotations

import argparse
import base64
import csv
import importlib
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from runtime.bench import servers, workload
from runtime.bench.command import run
from runtime.bench.errors import BenchError
from runtime.bench.table import aligned
from tools.steps import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

_IMAGE = "image/jpeg"
_BINARY_LENGTH = "Inference-Header-Content-Length"


class Photograph(NamedTuple):
    """An image file, and the index of its true class, if known."""

    name: str
    data: bytes
    label: int | None


class ProtocolClient:
    """Requests a photograph's most likely class in each protocol; v1 returns its name instead of its index."""

    def __init__(self, server: servers.Server, reference: ModuleType) -> None:
        self._server = server
        self._reference = reference
        self._model = server.get("/v2/models")["models"][0]
        metadata = server.get(f"/v2/models/{self._model}")
        self._tensor = next(entry["name"] for entry in metadata["inputs"] if entry["datatype"] == "FP32")

    def requests(self) -> dict[str, Callable[[Photograph], int | str]]:
        """Return a function for each kind of request, by its name in the table."""
        return {
            "native, form": lambda photograph: int(self._server.classify(photograph.data)[0]["class_id"]),
            "native, raw body": self._raw,
            "native, batch": self._batch,
            "v2, BYTES in JSON": self._v2_json,
            "v2, BYTES in binary": self._v2_binary,
            "v2, FP32 tensor": self._v2_tensor,
            "v1, b64": self._v1_bytes,
            "v1, tensor": self._v1_tensor,
        }

    def _json(self, path: str, content: object) -> Any:
        return self._server.post(path, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _raw(self, photograph: Photograph) -> int:
        answer = self._server.post("/api/v1/classify", photograph.data, {"Content-Type": _IMAGE})
        return int(answer["predictions"][0]["class_id"])

    def _batch(self, photograph: Photograph) -> int:
        answer = self._server.post_form("/api/v1/classify/batch", photograph.data)
        return int(answer["results"][0]["predictions"][0]["class_id"])

    def _v2(self, entry: dict[str, object], binary: bytes = b"") -> dict[str, Any]:
        request = json.dumps({"inputs": [entry]}).encode()
        headers = {_BINARY_LENGTH: str(len(request))} if binary else {"Content-Type": "application/json"}
        answer = self._server.post(f"/v2/models/{self._model}/infer", request + binary, headers)
        return {output["name"]: output["data"] for output in answer["outputs"]}

    def _v2_json(self, photograph: Photograph) -> int:
        text = base64.b64encode(photograph.data).decode()
        return _index(self._v2({"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}))

    def _v2_binary(self, photograph: Photograph) -> int:
        binary = len(photograph.data).to_bytes(4, "little") + photograph.data
        sized = {"binary_data_size": len(binary)}
        return _index(self._v2({"name": "image", "shape": [1], "datatype": "BYTES", "parameters": sized}, binary))

    def _v2_tensor(self, photograph: Photograph) -> int:
        values = self._input(photograph)
        sized = {"binary_data_size": values.nbytes}
        entry = {"name": self._tensor, "shape": list(values.shape), "datatype": "FP32", "parameters": sized}
        scores = next(iter(self._v2(entry, values.tobytes()).values()))
        return max(range(len(scores)), key=scores.__getitem__)

    def _v1_bytes(self, photograph: Photograph) -> str:
        content = {"instances": [{"b64": base64.b64encode(photograph.data).decode()}]}
        answer = self._json(f"/v1/models/{self._model}:predict", content)
        return str(answer["predictions"][0]["classes"][0])

    def _v1_tensor(self, photograph: Photograph) -> int:
        content = {"instances": self._input(photograph).tolist()}
        scores = self._json(f"/v1/models/{self._model}:predict", content)["predictions"][0]
        return max(range(len(scores)), key=scores.__getitem__)

    def _input(self, photograph: Photograph) -> Any:
        return reference_input(self._reference, photograph.data)


def reference_input(reference: ModuleType, data: bytes) -> Any:
    """Return the model's input [1, 3, S, S] for an image file, as the baseline prepares it."""
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    return np.ascontiguousarray(reference.preprocess(upright.convert("RGB")))


def reference_class(reference: ModuleType, data: bytes) -> int:
    """Return the most likely class of an image file."""
    scores = reference.session.run(None, {reference.input_name: reference_input(reference, data)})[0][0]
    return int(np.argmax(scores))


def _index(outputs: dict[str, Any]) -> int:
    """Return the index in the first `value:index:label`."""
    return int(outputs["classes"][0].split(":")[1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and report; returns 1 if too many differ with --assert, 2 if the measurement failed."""
    command = _parser().parse_args(arguments)
    return run(lambda work: _compare(command, work))


def _compare(command: argparse.Namespace, work: Path) -> int:
    prepared = workload.prepare(
        work, model=command.model, photographs=command.photographs, precisions=(command.precision,)
    )
    photographs = _photographs(command.photographs, prepared, left_out=_names(command.leave_out))
    (work / "logs").mkdir()
    os.environ["BENCH_MODEL_DIR"] = str(prepared.folder)
    reference = importlib.import_module("runtime.bench.baseline")
    labels = (prepared.folder / "labels.txt").read_text(encoding="utf-8").splitlines()
    expected = [reference_class(reference, photograph.data) for photograph in photographs]
    say(f"{prepared.model} {command.precision}, {len(photographs)} photographs")
    rows = [("protocol", "same class as the simple pipeline", "correct")]
    rows.append(("simple pipeline, FP32", "", _correct(photographs, list(expected), labels)))
    most_different = 0
    with servers.Server(servers.ours(prepared, command.precision), work / "logs") as server:
        for name, request in ProtocolClient(server, reference).requests().items():
            found = [request(photograph) for photograph in photographs]
            same = sum(_is_class(result, index, labels) for result, index in zip(found, expected, strict=True))
            most_different = max(most_different, len(photographs) - same)
            rows.append((name, f"{same} of {len(photographs)}", _correct(photographs, found, labels)))
            say(f"{name}: {same} of {len(photographs)}")
    print("\n" + aligned(rows))
    return int(command.judge and most_different > command.at_most)


def _is_class(result: int | str, index: int, labels: Sequence[str]) -> bool:
    return result == (index if isinstance(result, int) else labels[index])


def _correct(photographs: Sequence[Photograph], found: Sequence[int | str], labels: Sequence[str]) -> str:
    pairs = zip(found, photographs, strict=True)
    labelled = [(result, photograph.label) for result, photograph in pairs if photograph.label is not None]
    correct = sum(_is_class(result, label, labels) for result, label in labelled)
    return f"{correct} of {len(labelled)}" if labelled else "-"


def _photographs(folder: Path | None, prepared: workload.Workload, *, left_out: set[str]) -> list[Photograph]:
    """Return all JPEG files of the folder of the workload's photographs. Raises BenchError if it has none."""
    folder = folder or (workload.PHOTOGRAPHS if workload.PHOTOGRAPHS.is_dir() else prepared.pictures)
    table = folder / "labels.csv"
    classes: dict[str, int] = {}
    if table.is_file():
        with table.open(encoding="utf-8", newline="") as lines:
            classes = {row["file"]: int(row["class_index"]) for row in csv.DictReader(lines)}
    files = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in {".jpg", ".jpeg"}]
    selected = [file for file in files if file.name not in left_out]
    if not selected:
        raise BenchError(f"{folder} has no JPEG files to compare")
    return [Photograph(file.name, file.read_bytes(), classes.get(file.name)) for file in selected]


def _names(file: Path | None) -> set[str]:
    return set(file.read_text(encoding="utf-8").split()) if file is not None else set()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.agreement", description=__doc__)
    add = parser.add_argument
    workload.add_options(parser)
    add("--precision", choices=("FP32", "INT8"), default="FP32")
    add(
        "--leave-out",
        type=Path,
        metavar="FILE",
        help="file with the names of photographs to skip: those used for calibration",
    )
    add(
        "--at-most",
        type=int,
        default=0,
        metavar="N",
        help="maximum number of different results in any protocol (default: 0)",
    )
    add("--assert", dest="judge", action="store_true", help="exit with status 1 if more differ")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
