"""Encodings of values in v1 and v2: nested lists, base64, and BYTES tensors in binary form."""

from __future__ import annotations

import binascii
import struct
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from imageclassifier_runtime.errors import BodyInvalidError, TensorError, TooLargeError
from imageclassifier_runtime.protocols.request_context import MAX_ITEMS, Image, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imageclassifier_runtime.inference.session import FloatArray
    from imageclassifier_runtime.protocols.model_signature import Signature

_LENGTH = struct.Struct("<I")


def numbers(value: list[Any]) -> FloatArray:
    """Return nested lists of numbers as an array of their shape; raises TensorError.

    A number too large for float32 becomes infinity, which is rejected later, like NaN.
    """
    shape: list[int] = []
    level: list[Any] = [value]
    while (kinds := set(map(type, level))) == {list}:
        lengths = set(map(len, level))
        if len(lengths) != 1:
            raise TensorError(f"The lists at depth {len(shape) + 1} have different lengths.")
        shape.append(lengths.pop())
        level = list(chain.from_iterable(level))
    if not kinds <= {int, float}:
        raise TensorError("A tensor's data must be numbers, in lists nested according to its shape.")
    try:
        with np.errstate(over="ignore"):
            return np.array(level, np.float32).reshape(shape)
    except OverflowError:
        raise TensorError("A number is too large for FP32.") from None


def tensors(values: FloatArray, signature: Signature) -> list[Tensor]:
    """Return the inputs of a batch [N, 3, S, S]; raises TensorError for any other shape."""
    expected = signature.shape
    if values.ndim != 4 or values.shape[1:] != expected or not len(values):
        raise TensorError(
            f"The tensor has the shape {list(values.shape)}; this model takes {[-1, *expected]}, with a first "
            "dimension of at least 1."
        )
    check_count(len(values))
    return [Tensor(row) for row in values]


def images(texts: Iterable[object]) -> list[Image]:
    """Return images from base64; raises BodyInvalidError."""
    result: list[Image] = []
    for text in texts:
        data = _base64(text) if isinstance(text, str) else None
        if data is None:
            raise BodyInvalidError(
                f"Image {len(result) + 1} is not valid base64: use the standard alphabet with padding, no spaces."
            )
        result.append(Image(data))
    return result


def check_count(count: int) -> None:
    """Raise TooLargeError for more images or tensors than a request may have."""
    if count > MAX_ITEMS:
        raise TooLargeError(f"{count} items are too many: send at most {MAX_ITEMS}.", reason="too-many-images")


def unpack(data: memoryview, count: int) -> list[bytes]:
    """Return the elements of a BYTES tensor in binary form; raises BodyInvalidError."""
    elements, position = [], 0
    for _ in range(count):
        start = position + _LENGTH.size
        if start > len(data):
            break
        position = start + int(_LENGTH.unpack_from(data, position)[0])
        if position > len(data):
            break
        elements.append(bytes(data[start:position]))
    if len(elements) != count or position != len(data):
        raise BodyInvalidError(
            f"The binary data of {len(data)} bytes is not {count} elements, each prefixed with its 4-byte length."
        )
    return elements


def pack(elements: Sequence[str]) -> bytes:
    """Return a BYTES tensor in binary form."""
    parts = []
    for element in elements:
        data = element.encode()
        parts += [_LENGTH.pack(len(data)), data]
    return b"".join(parts)


def _base64(text: str) -> bytes | None:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None
