"""An inference request of the Open Inference Protocol v2: JSON, or JSON with binary data after it.

Rules: KServe's `required_api.md`, Triton's binary tensor data and classification extensions.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from imageclassifier_runtime.errors import BodyInvalidError, TensorError, UnsupportedTypeError
from imageclassifier_runtime.inference import image_headers
from imageclassifier_runtime.protocols import bounded_json, tensors
from imageclassifier_runtime.protocols.model_signature import DEFAULT_CLASSES, Signature
from imageclassifier_runtime.protocols.request_context import Image, Item

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imageclassifier_runtime.protocols.request_context import RequestContext

HEADER_LENGTH = "Inference-Header-Content-Length"
# The JSON before binary data only describes its layout.
_MAX_HEADER = 64 * 1024
_DATATYPES = {"image": "BYTES", "tensor": "FP32"}


@dataclasses.dataclass(frozen=True, slots=True)
class RequestedOutput:
    """One requested output; `top` is the number of classes, or None for the scores."""

    name: str
    top: int | None
    binary: bool


@dataclasses.dataclass(frozen=True, slots=True)
class InferRequest:
    """A parsed inference request."""

    id: str | None
    items: Sequence[Item]
    outputs: list[RequestedOutput]


async def read(context: RequestContext, signature: Signature) -> InferRequest:
    """Receive and parse a request; raises RequestError."""
    length = _header_length(context.request.headers.get(HEADER_LENGTH))
    body = await context.read_batch()
    if length is None or length == len(body):
        return await bounded_json.convert(
            context, body, numbers=signature.values, read=lambda: _from_json(body, signature)
        )
    if length > len(body):
        raise BodyInvalidError(f"{HEADER_LENGTH} is {length}, but the body has {len(body)} bytes.")
    if length == 0:
        return _from_binary(body, signature)
    if length > _MAX_HEADER:
        raise BodyInvalidError(f"{HEADER_LENGTH} is {length}: at most {_MAX_HEADER} is allowed with binary data.")
    text = body[:length]
    return await bounded_json.convert(
        context,
        text,
        numbers=signature.values,
        read=lambda: _from_parsed_json(bounded_json.parse(text), memoryview(body)[length:], signature),
    )


def _header_length(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise BodyInvalidError(f"{HEADER_LENGTH} is not a number.")
    return int(text)


def _from_json(body: bytearray, signature: Signature) -> InferRequest:
    document = bounded_json.parse(body)
    body.clear()  # its memory is needed for what is extracted from the document
    return _from_parsed_json(document, memoryview(b""), signature)


def _from_binary(body: bytearray, signature: Signature) -> InferRequest:
    """Parse a body that is one image or concatenated tensors, without JSON."""
    items: Sequence[Item]
    try:
        image_headers.read(body)
        items = [Image(body)]
    except UnsupportedTypeError:
        if not body or len(body) % (4 * signature.values):
            raise UnsupportedTypeError(
                f"These {len(body)} bytes are neither an image nor tensors FP32 {[-1, *signature.shape]}."
            ) from None
        values = np.frombuffer(body, "<f4").reshape(-1, *signature.shape)
        items = tensors.tensors(values, signature)
    return InferRequest(None, items, _outputs([], items, signature, binary=True))


def _from_parsed_json(document: Any, binary: memoryview, signature: Signature) -> InferRequest:
    inputs = _field(document, "inputs", list, "The request")
    parameters = _parameters(document)
    identity = document.get("id")
    if not isinstance(identity, str | None):
        raise BodyInvalidError("`id` must be a string.")
    if len(inputs) != 1:
        raise BodyInvalidError(
            f"The request has {len(inputs)} inputs: send one, `{signature.image}` or `{signature.tensor}`."
        )
    items = _items(inputs[0], binary, signature)
    requested = document.get("outputs", [])
    if not isinstance(requested, list):
        raise BodyInvalidError("`outputs` must be a list.")
    outputs = _outputs(requested, items, signature, binary=parameters.get("binary_data_output") is True)
    return InferRequest(identity, items, outputs)


def _items(entry: Any, binary: memoryview, signature: Signature) -> Sequence[Item]:
    name = _field(entry, "name", str, "An input")
    roles = {signature.image: "image", signature.tensor: "tensor"}
    if name not in roles:
        raise BodyInvalidError(f"Unknown input {name[:100]!r}: the inputs are {', '.join(map(repr, roles))}.")
    datatype = _field(entry, "datatype", str, f"Input {name!r}")
    if datatype != _DATATYPES[roles[name]]:
        raise BodyInvalidError(f"Input {name!r} must be {_DATATYPES[roles[name]]}, not {datatype[:40]!r}.")
    shape = _shape(_field(entry, "shape", list, f"Input {name!r}"), name)
    data = _data(entry, binary, name)
    if roles[name] == "image":
        return _images(data, shape, name)
    return _tensors(data, shape, signature)


def _data(entry: Mapping[str, Any], binary: memoryview, name: str) -> list[Any] | memoryview:
    """Return an input's data; the binary data after the JSON belongs to the only input."""
    size = _parameters(entry).get("binary_data_size")
    if size is None:
        if len(binary):
            raise BodyInvalidError(f"{len(binary)} bytes follow the JSON, but no input has a binary_data_size.")
        data: list[Any] = _field(entry, "data", list, f"Input {name!r}")
        return data
    if "data" in entry:
        raise BodyInvalidError(f"Input {name!r} has both `data` and a binary_data_size.")
    if type(size) is not int or size != len(binary):
        raise BodyInvalidError(
            f"Input {name!r}: binary_data_size is {str(size)[:40]!r}, but {len(binary)} bytes follow the JSON."
        )
    return binary


def _images(data: list[Any] | memoryview, shape: list[int], name: str) -> list[Image]:
    if not 1 <= len(shape) <= 2 or shape[1:] not in ([], [1]) or shape[0] < 1:
        raise BodyInvalidError(f"Input {name!r} has the shape {shape}: use [N] or [N, 1], one element per image.")
    tensors.check_count(shape[0])
    if isinstance(data, memoryview):
        return [Image(element) for element in tensors.unpack(data, shape[0])]
    if shape[1:] and all(isinstance(row, list) and len(row) == 1 for row in data):
        data = [row[0] for row in data]
    if len(data) != shape[0]:
        raise BodyInvalidError(f"Input {name!r} has {len(data)} elements, but its shape is {shape}.")
    return tensors.images(data)


def _tensors(data: list[Any] | memoryview, shape: list[int], signature: Signature) -> Sequence[Item]:
    size = math.prod(shape)
    if not size:
        raise TensorError(f"A tensor with the shape {shape} has no elements.")
    if isinstance(data, memoryview):
        if len(data) != 4 * size:
            raise TensorError(f"FP32 {shape} has {4 * size} bytes, not {len(data)}.")
        values = np.frombuffer(data, "<f4")
    else:
        values = tensors.numbers(data)
        if values.size != size or (values.ndim > 1 and list(values.shape) != shape):
            raise TensorError(f"The data has the shape {list(values.shape)}; it must be {shape} or flat.")
    return tensors.tensors(values.reshape(shape), signature)


def _outputs(
    requested: list[Any], items: Sequence[Item], signature: Signature, *, binary: bool
) -> list[RequestedOutput]:
    """Return the requested outputs; the default is the classes for images and the scores for tensors."""
    of_images = isinstance(items[0], Image)
    default = signature.top if of_images else signature.scores
    result: dict[str, RequestedOutput] = {}
    for output in requested or [{"name": default}]:
        name = _field(output, "name", str, "An output")
        names = (signature.top, signature.scores)
        if name not in names:
            raise BodyInvalidError(
                f"Unknown output {name[:100]!r}: the outputs are {', '.join(map(repr, names))}."
            )
        if name in result:
            raise BodyInvalidError(f"Output {name!r} is requested twice.")
        parameters = _parameters(output)
        top = parameters.get("classification", DEFAULT_CLASSES if name == signature.top else None)
        if top is not None and (type(top) is not int or top < 1):
            raise BodyInvalidError("`classification` must be a whole number of at least 1.")
        result[name] = RequestedOutput(
            name,
            None if top is None else min(top, signature.classes),
            parameters.get("binary_data", binary) is True,
        )
    return list(result.values())


def _shape(values: list[Any], name: str) -> list[int]:
    if not 1 <= len(values) <= 8 or not all(type(value) is int and 0 <= value < 2**31 for value in values):
        raise BodyInvalidError(f"Input {name!r}: `shape` must be a list of one to eight whole numbers.")
    return values


def _parameters(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = holder.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise BodyInvalidError("`parameters` must be an object.")
    return parameters


def _field(holder: Any, name: str, kind: type, where: str) -> Any:
    """Return a required field; raises BodyInvalidError."""
    if not isinstance(holder, dict):
        raise BodyInvalidError(f"{where} must be an object.")
    value = holder.get(name)
    if not isinstance(value, kind):
        raise BodyInvalidError(f"{where} needs `{name}`, a {'list' if kind is list else 'string'}.")
    return value
