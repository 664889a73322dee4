"""The response to an inference request of v2: JSON, or JSON followed by binary data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from starlette.responses import Response

from imageclassifier_runtime.inference.postprocess import top
from imageclassifier_runtime.protocols import tensors
from imageclassifier_runtime.protocols.model_signature import VERSION
from imageclassifier_runtime.protocols.v2.request import HEADER_LENGTH
from imageclassifier_runtime.request.responses import json_response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imageclassifier_runtime.inference.pipeline import Outcome
    from imageclassifier_runtime.inference.postprocess import Prediction
    from imageclassifier_runtime.protocols.model_signature import Signature
    from imageclassifier_runtime.protocols.v2.request import InferRequest, RequestedOutput


def render(request: InferRequest, outcomes: list[Outcome], signature: Signature) -> Response:
    """Return the requested outputs, in the order of the request."""
    outputs, parts = [], []
    for requested in request.outputs:
        output, data = _output(requested, outcomes, signature)
        outputs.append(output)
        parts.append(data)
    content: dict[str, Any] = {"model_name": signature.model, "model_version": VERSION, "outputs": outputs}
    if request.id is not None:
        content["id"] = request.id
    if not any(requested.binary for requested in request.outputs):
        return json_response(content)
    head = json.dumps(content).encode()
    return Response(
        b"".join((head, *parts)), headers={HEADER_LENGTH: str(len(head))}, media_type="application/octet-stream"
    )


def _output(
    requested: RequestedOutput, outcomes: list[Outcome], signature: Signature
) -> tuple[dict[str, Any], bytes]:
    """Return an output's JSON and its binary data."""
    width = signature.classes if requested.top is None else requested.top
    output: dict[str, Any] = {"name": requested.name, "shape": [len(outcomes), width]}
    data: list[Any]
    if requested.top is None:
        scores = np.stack([outcome.scores for outcome in outcomes]).astype("<f4")
        output["datatype"] = "FP32"
        packed, data = (scores.tobytes(), []) if requested.binary else (b"", scores.ravel().tolist())
    else:
        data = [text for outcome in outcomes for text in _classes(requested, requested.top, outcome, signature)]
        output["datatype"] = "BYTES"
        packed = tensors.pack(data) if requested.binary else b""
    if requested.binary:
        output["parameters"] = {"binary_data_size": len(packed)}
    else:
        output["data"] = data
    return output, packed


def _classes(requested: RequestedOutput, top_k: int, outcome: Outcome, signature: Signature) -> Iterable[str]:
    """Return `value:index:label` of the top classes; for the output of scores the values are scores."""
    predictions: list[Prediction]
    if requested.name == signature.scores:
        predictions = top(outcome.scores, signature.labels, top_k, logits=False)
    else:
        predictions = outcome.predictions[:top_k]
    return [f"{value:f}:{index}:{label}" for index, label, value in predictions]
