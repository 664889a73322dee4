"""Calls a server with tritonclient and prints the results as JSON; run by the clients' Python.

python triton_calls.py HOST:PORT MODEL IMAGE TENSORS.npy
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException


def calls(client: Any, model: str, image: bytes, tensors: Any) -> dict[str, Any]:
    metadata = client.get_model_metadata(model, "1")
    names = {tensor["datatype"]: tensor["name"] for tensor in metadata["inputs"]}
    scores = next(tensor["name"] for tensor in metadata["outputs"] if tensor["datatype"] == "FP32")
    pictures = triton.InferInput(names["BYTES"], [2], "BYTES")
    pictures.set_data_from_numpy(np.array([image, image], object), binary_data=True)
    numbers = triton.InferInput(names["FP32"], list(tensors.shape), "FP32")
    numbers.set_data_from_numpy(tensors, binary_data=True)
    as_json = triton.InferInput(names["FP32"], list(tensors.shape), "FP32")
    as_json.set_data_from_numpy(tensors, binary_data=False)
    in_json = triton.InferRequestedOutput(scores, binary_data=False)
    top = triton.InferRequestedOutput(scores, binary_data=True, class_count=3)
    classified = client.infer(model, [pictures], request_id="seven")
    sorted_scores = client.infer(model, [numbers], outputs=[top]).as_numpy(scores)
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(model),
        "version_ready": client.is_model_ready(model, "1"),
        "other_ready": client.is_model_ready("other"),
        "server": client.get_server_metadata(),
        "metadata": metadata,
        "index": client.get_model_repository_index(),
        "classes": [[text.decode() for text in row] for row in classified.as_numpy("classes")],
        "id": classified.get_response()["id"],
        "binary": client.infer(model, [numbers]).as_numpy(scores).tolist(),
        "json": client.infer(model, [as_json], outputs=[in_json]).as_numpy(scores).tolist(),
        "async": client.async_infer(model, [numbers]).get_result().as_numpy(scores).tolist(),
        "sorted": [[text.decode() for text in row] for row in sorted_scores],
        "errors": [
            _error(lambda: client.infer("other", [numbers])),
            _error(lambda: client.infer(model, [numbers], model_version="2")),
            _error(lambda: client.infer(model, [triton.InferInput("nothing", [1], "FP32")])),
            _error(lambda: client.infer(model, [pictures], request_compression_algorithm="gzip")),
            _error(lambda: client.load_model(model)),
            _error(lambda: client.unload_model(model)),
        ],
    }


def _error(call: Any) -> tuple[str, str] | None:
    try:
        call()
    except InferenceServerException as error:
        return error.status(), error.message()
    return None


def main(address: str, model: str, image: str, tensors: str) -> None:
    with triton.InferenceServerClient(address) as client:
        print(json.dumps(calls(client, model, Path(image).read_bytes(), np.load(tensors))))


if __name__ == "__main__":
    main(*sys.argv[1:])
