"""Calls a server with KServe's REST client and prints the results as JSON; run by the clients' Python.

python kserve_calls.py http://HOST:PORT MODEL IMAGE TENSORS.npy
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig


async def v2(url: str, model: str, image: bytes, tensors: Any, name: str) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    pictures = InferInput("image", [1], "BYTES")
    pictures.set_data_from_numpy(np.array([image], object), binary_data=True)
    as_json = InferInput("image", [1], "BYTES", data=[base64.b64encode(image).decode()])
    answers = {}
    for form in (True, False):
        numbers = InferInput(name, list(tensors.shape), "FP32")
        numbers.set_data_from_numpy(tensors, binary_data=form)
        request = InferRequest(model_name=model, infer_inputs=[numbers], request_id="nine")
        answers[form] = await client.infer(url, request, model_name=model)
    by_image = await client.infer(url, InferRequest(model, [pictures]), model_name=model)
    by_text = await client.infer(url, InferRequest(model, [as_json]), model_name=model)
    try:
        await client.infer(url, InferRequest("other", [as_json]), model_name="other")
        error = ""
    except httpx.HTTPStatusError as caught:
        error = str(caught)
    return {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model_ready": await client.is_model_ready(url, model),
        "other_ready": await client.is_model_ready(url, "other"),
        "classes": [list(by_image.outputs[0].data), list(by_text.outputs[0].data)],
        "id": answers[True].id,
        "binary": answers[True].outputs[0].as_numpy().tolist(),
        "json": answers[False].outputs[0].as_numpy().tolist(),
        "error": error,
    }


async def v1(url: str, model: str, image: bytes, tensors: Any) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v1", retries=0))
    instances = [{"b64": base64.b64encode(image).decode()}]
    try:
        await client.infer(url, {"instances": [{}]}, model_name=model)
        error = ""
    except httpx.HTTPStatusError as caught:
        error = str(caught)
    return {
        "live": await client.is_server_live(url),
        "model_ready": await client.is_model_ready(url, model),
        "image": await client.infer(url, {"instances": instances}, model_name=model),
        "tensors": await client.infer(url, {"instances": tensors.tolist()}, model_name=model),
        "error": error,
    }


def main(url: str, model: str, image: str, tensors: str) -> None:
    given = (url, model, Path(image).read_bytes(), np.load(tensors))
    metadata = httpx.get(f"{url}/v2/models/{model}").json()
    name = next(tensor["name"] for tensor in metadata["inputs"] if tensor["datatype"] == "FP32")
    print(json.dumps({"v2": asyncio.run(v2(*given, name)), "v1": asyncio.run(v1(*given))}))


if __name__ == "__main__":
    main(*sys.argv[1:])
