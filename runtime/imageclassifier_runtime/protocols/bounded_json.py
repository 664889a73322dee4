"""Untrusted JSON: its memory is estimated before it is parsed, because small texts can expand greatly.

A list of floats takes up to 11 times the size of its text, `[[0],[0],…]` and `[{"":0},…]` about 30 times. So the
characters that create Python objects are counted first, each count has a limit, and the memory that they can take
is acquired from the pool for pixels.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from imageclassifier_runtime.errors import BodyInvalidError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from imageclassifier_runtime.protocols.request_context import RequestContext

T = TypeVar("T")

MAX_NUMBERS = 1 << 20
_MAX_DEPTH = 16
_MAX_CONTAINERS = 1 << 16
_MAX_STRINGS = 2048
_SPARE_COMMAS = 8192
# Upper bounds: a float and its slots in two lists; an empty dict or a list's first slots; a string's header and
# its slot as a dict's first key.
_NUMBER_BYTES, _CONTAINER_BYTES, _STRING_BYTES = 56, 400, 320
# Parsed directly on the event loop: faster than a hand-over to a worker, and too small to matter in memory.
_SMALL = 64 * 1024
_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def cost(text: bytes | bytearray, *, numbers: int) -> int:
    """Return an upper bound in bytes for parsing the text; raises TooLargeError over the limits.

    `numbers` is the size of one input tensor, which always fits.
    """
    max_numbers = max(MAX_NUMBERS, numbers)
    commas, quotes = text.count(b","), text.count(b'"')
    containers = text.count(b"[") + text.count(b"{")
    if commas > max_numbers + _SPARE_COMMAS:
        raise TooLargeError(
            f"The JSON has more than {max_numbers} numbers. "
            "Send fewer tensors at a time, or send them in binary form.",
            reason="json",
        )
    if containers > _MAX_CONTAINERS or quotes > 2 * _MAX_STRINGS:
        raise TooLargeError(
            f"The JSON has more than {_MAX_CONTAINERS} lists and objects or {_MAX_STRINGS} strings.", reason="json"
        )
    # The text is decoded, and its strings are copied out of it. One character outside of ASCII, literal or as \u…,
    # makes every character of its string take up to four bytes.
    width = 1 if text.isascii() and b"\\u" not in text else 4
    return (
        2 * width * len(text)
        + _NUMBER_BYTES * commas
        + _CONTAINER_BYTES * containers
        + _STRING_BYTES * quotes // 2
    )


def parse(text: bytes | bytearray) -> Any:
    """Return the parsed JSON; raises BodyInvalidError, also for NaN, Infinity and deep nesting."""
    depth = 0
    for match in _STRUCTURE.finditer(text):
        character = text[match.start()]
        if character != 0x22:
            depth += 1 if character in b"[{" else -1
            if depth > _MAX_DEPTH:
                raise BodyInvalidError(f"The JSON is nested more than {_MAX_DEPTH} deep.")
    try:
        return json.loads(text.decode(), parse_constant=_constant)
    except ValueError as error:
        raise BodyInvalidError(f"The body is not valid JSON: {_cause(error)}.") from None


async def convert(context: RequestContext, text: bytes | bytearray, *, numbers: int, read: Callable[[], T]) -> T:
    """Return the result of `read`, run with enough memory acquired for the text."""
    peak = cost(text, numbers=numbers)
    if len(text) <= _SMALL:
        return read()
    capacity = context.pixel_capacity
    if peak > capacity:
        raise TooLargeError(
            f"Parsing this JSON takes up to {peak >> 20} MiB; this server has {capacity >> 20} MiB. "
            "Send fewer tensors at a time, or send them in binary form.",
            reason="memory",
        )
    return await context.run_in_worker(read, peak)


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _cause(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 at byte {error.start}"
    # Otherwise a constant, or an integer with more digits than Python converts.
    return "an integer has too many digits" if "digits" in str(error) else str(error)
