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
    for wanted in request.outputs:
        output, data = _output(wanted, outcomes, signature)
        outputs.append(output)
        parts.append(data)
    content: dict[str, Any] = {"model_name": signature.model, "model_version": VERSION, "outputs": outputs}
    if request.id is not None:
        content["id"] = request.id
    if not any(wanted.binary for wanted in request.outputs):
        return json_response(content)
    head = json.dumps(content).encode()
    return Response(
        b"".join((head, *parts)), headers={HEADER_LENGTH: str(len(head))}, media_type="application/octet-stream"
    )


def _output(
    wanted: RequestedOutput, outcomes: list[Outcome], signature: Signature
) -> tuple[dict[str, Any], bytes]:
    """Return an output's JSON and its binary data."""
    width = signature.classes if wanted.top is None else wanted.top
    output: dict[str, Any] = {"name": wanted.name, "shape": [len(outcomes), width]}
    data: list[Any]
    if wanted.top is None:
        scores = np.stack([outcome.scores for outcome in outcomes]).astype("<f4")
        output["datatype"] = "FP32"
        packed, data = (scores.tobytes(), []) if wanted.binary else (b"", scores.ravel().tolist())
    else:
        data = [text for outcome in outcomes for text in _classes(wanted, wanted.top, outcome, signature)]
        output["datatype"] = "BYTES"
        packed = tensors.pack(data) if wanted.binary else b""
    if wanted.binary:
        output["parameters"] = {"binary_data_size": len(packed)}
    else:
        output["data"] = data
    return output, packed


def _classes(wanted: RequestedOutput, count: int, outcome: Outcome, signature: Signature) -> Iterable[str]:
    """Return `value:index:label` of the top classes; for the output of scores the values are scores."""
    predictions: list[Prediction]
    if wanted.name == signature.scores:
        predictions = top(outcome.scores, signature.labels, count, logits=False)
    else:
        predictions = outcome.predictions[:count]
    return [f"{value:f}:{index}:{label}" for index, label, value in predictions]
