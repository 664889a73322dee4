"""Generates broken images: files of every format, mutated at random with knowledge of their structure.

Number i of seed s is the same bytes on every machine with the same Pillow, so that a failure can be had again.
"""

from __future__ import annotations

import random
import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from e2e.scenarios.hostile_bytes import PNG_MAGIC, encoded, picture, png_chunk

if TYPE_CHECKING:
    from collections.abc import Callable

_NUMBERS = (0, 1, 2, 7, 8, 16, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
_MOST_CHANGES = 5


class Seed(NamedTuple):
    """A valid file of a format."""

    kind: str
    data: bytes


class Mutant(NamedTuple):
    """A mutated file, and its declared content type."""

    name: str
    content_type: str
    data: bytes


def seeds() -> list[Seed]:
    """Return small valid files: every format in every mode and layout that Pillow writes."""
    exif = Image.Exif()
    exif[274] = 6
    frames = [picture("P"), picture("P", (32, 20))]
    jpeg: list[tuple[str, dict[str, object]]] = [
        ("RGB", {}),
        ("L", {}),
        ("CMYK", {}),
        ("RGB", {"progressive": True}),
        ("L", {"progressive": True, "quality": 95}),
        ("RGB", {"subsampling": 0, "restart_marker_rows": 1}),
        ("RGB", {"exif": exif, "icc_profile": b"\0" * 200, "comment": b"a comment"}),
    ]
    made = [Seed("JPEG", encoded(picture(mode), "JPEG", **options)) for mode, options in jpeg]
    made += [Seed("PNG", encoded(picture(mode), "PNG")) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
    made.append(Seed("PNG", encoded(picture("P"), "PNG", transparency=b"\x00\x80\xff", exif=exif)))
    made += [Seed("GIF", encoded(picture("P"), "GIF", **options)) for options in ({}, {"transparency": 1})]
    made.append(
        Seed("GIF", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=b"x" * 300))
    )
    made += [
        Seed("WEBP", encoded(picture(mode), "WEBP", lossless=flag)) for mode in ("RGB", "RGBA") for flag in (0, 1)
    ]
    made.append(Seed("WEBP", encoded(picture("RGB"), "WEBP", save_all=True, append_images=[picture("RGB")])))
    made += [Seed("BMP", encoded(picture(mode), "BMP")) for mode in ("1", "L", "P", "RGB", "RGBA")]
    return made


def mutant(seed: int, number: int, sound: list[Seed]) -> Mutant:
    """Return the mutated image of this number."""
    draw = random.Random(f"{seed}/{number}")  # noqa: S311 - repeatable, not secret
    origin = draw.choice(sound)
    data = bytearray(origin.data)
    applied = []
    for _ in range(draw.randint(1, _MOST_CHANGES)):
        change = draw.choice(_CHANGES if draw.random() < 0.5 else [_BUILT[origin.kind]])
        data = change(draw, data, sound)
        applied.append(change.__name__.strip("_"))
    claimed = origin.kind if draw.random() < 0.9 else draw.choice(sound).kind
    name = f"{seed}/{number} {origin.kind} {'+'.join(applied)}"
    return Mutant(name, f"image/{claimed.lower()}", bytes(data))


def _bits(draw: random.Random, data: bytearray, _: list[Seed]) -> bytearray:
    for _number in range(draw.randint(1, 16) if data else 0):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return data


def _number(draw: random.Random, data: bytearray, _: list[Seed]) -> bytearray:
    layout = draw.choice("<>") + draw.choice("BHI")
    value = draw.choice(_NUMBERS) & (256 ** struct.calcsize(layout) - 1)
    # Most numbers that matter are in headers.
    at = draw.randrange(min(len(data), draw.choice((64, 1024, 1 << 30))) + 1)
    data[at : at + struct.calcsize(layout)] = struct.pack(layout, value)
    return data


def _cut(draw: random.Random, data: bytearray, _: list[Seed]) -> bytearray:
    return data[: draw.randrange(len(data) + 1)]


def _drop(draw: random.Random, data: bytearray, _: list[Seed]) -> bytearray:
    at = draw.randrange(len(data) + 1)
    del data[at : at + draw.choice((1, 2, 4, 64, 1024))]
    return data


def _repeat(draw: random.Random, data: bytearray, _: list[Seed]) -> bytearray:
    at, size = draw.randrange(len(data) + 1), draw.choice((1, 4, 64, 512))
    data[at:at] = data[at : at + size] * draw.choice((1, 2, 50))
    return data


def _noise(draw: random.Random, data: bytearray, _: list[Seed]) -> bytearray:
    at = draw.randrange(len(data) + 1)
    data[at:at] = draw.randbytes(draw.choice((1, 3, 16, 256)))
    return data


def _splice(draw: random.Random, data: bytearray, sound: list[Seed]) -> bytearray:
    other = draw.choice(sound).data
    return data[: draw.randrange(len(data) + 1)] + other[draw.randrange(len(other)) :]


_CHANGES = [_bits, _number, _cut, _drop, _repeat, _noise, _splice]


def _shuffled(draw: random.Random, parts: list[bytes]) -> list[bytes]:
    """Drop, repeat, swap or move a part."""
    if not parts:
        return parts
    first, second = draw.randrange(len(parts)), draw.randrange(len(parts))
    match draw.randrange(4):
        case 0:
            del parts[first]
        case 1:
            parts[first:first] = [parts[first]] * draw.choice((1, 3, 200))
        case 2:
            parts[first], parts[second] = parts[second], parts[first]
        case _:
            parts.insert(second, parts.pop(first))
    return parts


def _jpeg(draw: random.Random, data: bytearray, sound: list[Seed]) -> bytearray:
    """Mutate whole segments; half of the time, the length of a changed one is corrected."""
    parts, position = [bytes(data[:2])], 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        parts.append(bytes(data[position:end]))
        position = end
        if position + 2 > len(data):
            break
    rest = bytes(data[position:])
    if draw.random() < 0.5 or len(parts) < 2:
        return bytearray(b"".join(_shuffled(draw, parts)) + rest)
    chosen = draw.randrange(1, len(parts))
    payload = _bits(draw, bytearray(parts[chosen][4:]), sound)
    payload = _repeat(draw, payload, sound) if draw.random() < 0.3 else payload
    length = len(payload) + 2 if draw.random() < 0.5 else draw.choice(_NUMBERS)
    parts[chosen] = parts[chosen][:2] + struct.pack(">H", length & 0xFFFF) + payload
    return bytearray(b"".join(parts) + rest)


def _png(draw: random.Random, data: bytearray, sound: list[Seed]) -> bytearray:
    """Mutate whole chunks; four of five checksums are right, so that decoders read the content."""
    chunks, position = [], 8
    while position + 12 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        kind, payload = bytes(data[position + 4 : position + 8]), bytes(data[position + 8 : position + 8 + size])
        if position and draw.random() < 0.4:
            payload = (
                _inflated(draw, payload, sound)
                if kind == b"IDAT"
                else bytes(_number(draw, bytearray(payload), sound))
            )
        chunks.append(png_chunk(kind, payload, checksum=1 if draw.random() < 0.05 else None))
        position += 12 + size
    if draw.random() < 0.5:
        chunks = _shuffled(draw, chunks)
    return bytearray(PNG_MAGIC + b"".join(chunks))


def _inflated(draw: random.Random, payload: bytes, sound: list[Seed]) -> bytes:
    """Mutate the decompressed pixels."""
    try:
        raw = bytearray(zlib.decompress(payload))
    except zlib.error:
        return payload
    change: Callable[[random.Random, bytearray, list[Seed]], bytearray] = draw.choice(
        [_bits, _drop, _repeat, _cut]
    )
    return zlib.compress(bytes(change(draw, raw, sound)))


def _webp(draw: random.Random, data: bytearray, sound: list[Seed]) -> bytearray:
    """Mutate whole RIFF chunks; half of the time, the total size is corrected."""
    chunks, position = [], 12
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        chunks.append(bytes(data[position : position + 8 + size + size % 2]))
        position += 8 + size + size % 2
    if draw.random() < 0.5 or not chunks:
        body = b"".join(_shuffled(draw, chunks))
    else:
        chosen = draw.randrange(len(chunks))
        payload = bytes(_number(draw, bytearray(chunks[chosen][8:]), sound))
        size = len(payload) if draw.random() < 0.5 else draw.choice(_NUMBERS)
        chunks[chosen] = chunks[chosen][:4] + struct.pack("<I", size & 0xFFFFFFFF) + payload
        body = b"".join(chunks)
    whole = len(body) + 4 if draw.random() < 0.7 else draw.choice(_NUMBERS)
    return bytearray(b"RIFF" + struct.pack("<I", whole & 0xFFFFFFFF) + b"WEBP" + body)


def _head(draw: random.Random, data: bytearray, sound: list[Seed]) -> bytearray:
    """Mutate numbers in the first bytes, where GIF and BMP have sizes, depths, offsets and flags."""
    for _ in range(draw.randint(1, 4)):
        head = _number(draw, data[:54], sound)
        data[: min(54, len(data))] = head
    return data


_BUILT = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "GIF": _head, "BMP": _head}
