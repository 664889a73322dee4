"""Whether every protocol names photographs as a plain pipeline does: Pillow, NumPy, ONNX Runtime, no shortcuts.

    python -m tests.acceptance.agreement [--model FOLDER] [--photographs FOLDER] [--precision INT8] [--assert]

The plain pipeline is the baseline's in fp32, of an image that is turned upright first. Each photograph goes
through it and through every protocol of a running server. With `labels.csv` (`file`, `class_index`) among the
photographs the accuracy is told too.
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
    """A file, and the class that is on it where that is known."""

    name: str
    data: bytes
    label: int | None


class Asker:
    """Asks one server through each protocol for a photograph's likeliest class; v1 tells only its name."""

    def __init__(self, server: servers.Server, reference: ModuleType) -> None:
        self._server = server
        self._reference = reference
        self._model = server.get("/v2/models")["models"][0]
        metadata = server.get(f"/v2/models/{self._model}")
        self._tensor = next(entry["name"] for entry in metadata["inputs"] if entry["datatype"] == "FP32")

    def ways(self) -> dict[str, Callable[[Photograph], int | str]]:
        """Return what can be asked, by its name in the table."""
        return {
            "native, form": lambda it: int(self._server.classify(it.data)[0]["class_id"]),
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

    def _raw(self, it: Photograph) -> int:
        answer = self._server.post("/api/v1/classify", it.data, {"Content-Type": _IMAGE})
        return int(answer["predictions"][0]["class_id"])

    def _batch(self, it: Photograph) -> int:
        answer = self._server.post_form("/api/v1/classify/batch", it.data)
        return int(answer["results"][0]["predictions"][0]["class_id"])

    def _v2(self, entry: dict[str, object], binary: bytes = b"") -> dict[str, Any]:
        request = json.dumps({"inputs": [entry]}).encode()
        headers = {_BINARY_LENGTH: str(len(request))} if binary else {"Content-Type": "application/json"}
        answer = self._server.post(f"/v2/models/{self._model}/infer", request + binary, headers)
        return {output["name"]: output["data"] for output in answer["outputs"]}

    def _v2_json(self, it: Photograph) -> int:
        text = base64.b64encode(it.data).decode()
        return _index(self._v2({"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}))

    def _v2_binary(self, it: Photograph) -> int:
        binary = len(it.data).to_bytes(4, "little") + it.data
        sized = {"binary_data_size": len(binary)}
        return _index(self._v2({"name": "image", "shape": [1], "datatype": "BYTES", "parameters": sized}, binary))

    def _v2_tensor(self, it: Photograph) -> int:
        values = self._input(it)
        sized = {"binary_data_size": values.nbytes}
        entry = {"name": self._tensor, "shape": list(values.shape), "datatype": "FP32", "parameters": sized}
        scores = next(iter(self._v2(entry, values.tobytes()).values()))
        return max(range(len(scores)), key=scores.__getitem__)

    def _v1_bytes(self, it: Photograph) -> str:
        content = {"instances": [{"b64": base64.b64encode(it.data).decode()}]}
        answer = self._json(f"/v1/models/{self._model}:predict", content)
        return str(answer["predictions"][0]["classes"][0])

    def _v1_tensor(self, it: Photograph) -> int:
        content = {"instances": self._input(it).tolist()}
        scores = self._json(f"/v1/models/{self._model}:predict", content)["predictions"][0]
        return max(range(len(scores)), key=scores.__getitem__)

    def _input(self, it: Photograph) -> Any:
        return plain_input(self._reference, it.data)


def plain_input(reference: ModuleType, data: bytes) -> Any:
    """Return the baseline's input [1, 3, S, S] of an image file."""
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    return np.ascontiguousarray(reference.preprocess(upright.convert("RGB")))


def plain_class(reference: ModuleType, data: bytes) -> int:
    """Return the likeliest class of an image file."""
    scores = reference.session.run(None, {reference.input_name: plain_input(reference, data)})[0][0]
    return int(np.argmax(scores))


def _index(outputs: dict[str, Any]) -> int:
    """Return the class of the first `value:index:label`."""
    return int(outputs["classes"][0].split(":")[1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and report; 1 where --assert and too many differ, 2 where it could not be done."""
    command = _parser().parse_args(arguments)
    return run(lambda work: _compare(command, work))


def _compare(command: argparse.Namespace, work: Path) -> int:
    prepared = workload.prepare(
        work, model=command.model, photographs=command.photographs, wanted=(command.precision,)
    )
    photographs = _photographs(command.photographs, prepared, left_out=_names(command.leave_out))
    (work / "logs").mkdir()
    os.environ["BENCH_MODEL_DIR"] = str(prepared.folder)
    reference = importlib.import_module("runtime.bench.baseline")
    labels = (prepared.folder / "labels.txt").read_text(encoding="utf-8").splitlines()
    wanted = [plain_class(reference, it.data) for it in photographs]
    say(f"{prepared.model} {command.precision}, {len(photographs)} photographs")
    rows = [("protocol", "as the plain pipeline", "right")]
    rows.append(("plain pipeline, FP32", "", _right(photographs, list(wanted), labels)))
    worst = 0
    with servers.Server(servers.ours(prepared, command.precision), work / "logs") as server:
        for name, ask in Asker(server, reference).ways().items():
            found = [ask(it) for it in photographs]
            same = sum(_same(got, want, labels) for got, want in zip(found, wanted, strict=True))
            worst = max(worst, len(photographs) - same)
            rows.append((name, f"{same} of {len(photographs)}", _right(photographs, found, labels)))
            say(f"{name}: {same} of {len(photographs)}")
    print("\n" + aligned(rows))
    return int(command.judge and worst > command.at_most)


def _same(got: int | str, wanted: int, labels: Sequence[str]) -> bool:
    return got == (wanted if isinstance(got, int) else labels[wanted])


def _right(photographs: Sequence[Photograph], found: Sequence[int | str], labels: Sequence[str]) -> str:
    known = [(got, it.label) for got, it in zip(found, photographs, strict=True) if it.label is not None]
    right = sum(_same(got, label, labels) for got, label in known)
    return f"{right} of {len(known)}" if known else "-"


def _photographs(folder: Path | None, prepared: workload.Workload, *, left_out: set[str]) -> list[Photograph]:
    """Return all JPEG files of the folder that the workload's come from, raises BenchError where there is none."""
    folder = folder or (workload.PHOTOGRAPHS if workload.PHOTOGRAPHS.is_dir() else prepared.pictures)
    table = folder / "labels.csv"
    known: dict[str, int] = {}
    if table.is_file():
        with table.open(encoding="utf-8", newline="") as lines:
            known = {row["file"]: int(row["class_index"]) for row in csv.DictReader(lines)}
    files = [it for it in sorted(folder.iterdir()) if it.suffix.lower() in {".jpg", ".jpeg"}]
    found = [Photograph(it.name, it.read_bytes(), known.get(it.name)) for it in files if it.name not in left_out]
    if not found:
        raise BenchError(f"{folder} has no JPEG files to judge by")
    return found


def _names(file: Path | None) -> set[str]:
    return set(file.read_text(encoding="utf-8").split()) if file is not None else set()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.agreement", description=__doc__)
    add = parser.add_argument
    workload.add_options(parser)
    add("--precision", choices=("FP32", "INT8"), default="FP32")
    add("--leave-out", type=Path, metavar="FILE", help="names of photographs that int8 was calibrated with")
    add("--at-most", type=int, default=0, metavar="N", help="how many may differ, in any protocol (default: 0)")
    add("--assert", dest="judge", action="store_true", help="fail where more do")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
