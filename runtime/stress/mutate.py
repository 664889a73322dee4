"""Generates broken images: files of every format, randomly mutated with knowledge of their structure.

Image i of seed s has the same bytes on every machine with the same version of Pillow: failures are reproducible.
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
_MAX_CHANGES = 5


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
    found = [Seed("JPEG", encoded(picture(mode), "JPEG", **options)) for mode, options in jpeg]
    found += [Seed("PNG", encoded(picture(mode), "PNG")) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
    found.append(Seed("PNG", encoded(picture("P"), "PNG", transparency=b"\x00\x80\xff", exif=exif)))
    found += [Seed("GIF", encoded(picture("P"), "GIF", **options)) for options in ({}, {"transparency": 1})]
    found.append(
        Seed("GIF", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=b"x" * 300))
    )
    found += [
        Seed("WEBP", encoded(picture(mode), "WEBP", lossless=flag)) for mode in ("RGB", "RGBA") for flag in (0, 1)
    ]
    found.append(Seed("WEBP", encoded(picture("RGB"), "WEBP", save_all=True, append_images=[picture("RGB")])))
    found += [Seed("BMP", encoded(picture(mode), "BMP")) for mode in ("1", "L", "P", "RGB", "RGBA")]
    return found


def mutant(seed: int, number: int, valid_files: list[Seed]) -> Mutant:
    """Return the mutated image of this number."""
    rng = random.Random(f"{seed}/{number}")  # noqa: S311 - repeatable, not secret
    origin = rng.choice(valid_files)
    data = bytearray(origin.data)
    applied = []
    for _ in range(rng.randint(1, _MAX_CHANGES)):
        change = rng.choice(_BYTE_CHANGES if rng.random() < 0.5 else [_STRUCTURAL_CHANGES[origin.kind]])
        data = change(rng, data, valid_files)
        applied.append(change.__name__.strip("_"))
    claimed = origin.kind if rng.random() < 0.9 else rng.choice(valid_files).kind
    name = f"{seed}/{number} {origin.kind} {'+'.join(applied)}"
    return Mutant(name, f"image/{claimed.lower()}", bytes(data))


def _bits(rng: random.Random, data: bytearray, _: list[Seed]) -> bytearray:
    for _number in range(rng.randint(1, 16) if data else 0):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _number(rng: random.Random, data: bytearray, _: list[Seed]) -> bytearray:
    layout = rng.choice("<>") + rng.choice("BHI")
    value = rng.choice(_NUMBERS) & (256 ** struct.calcsize(layout) - 1)
    # Most numbers that matter are in headers.
    at = rng.randrange(min(len(data), rng.choice((64, 1024, 1 << 30))) + 1)
    data[at : at + struct.calcsize(layout)] = struct.pack(layout, value)
    return data


def _cut(rng: random.Random, data: bytearray, _: list[Seed]) -> bytearray:
    return data[: rng.randrange(len(data) + 1)]


def _drop(rng: random.Random, data: bytearray, _: list[Seed]) -> bytearray:
    at = rng.randrange(len(data) + 1)
    del data[at : at + rng.choice((1, 2, 4, 64, 1024))]
    return data


def _repeat(rng: random.Random, data: bytearray, _: list[Seed]) -> bytearray:
    at, size = rng.randrange(len(data) + 1), rng.choice((1, 4, 64, 512))
    data[at:at] = data[at : at + size] * rng.choice((1, 2, 50))
    return data


def _noise(rng: random.Random, data: bytearray, _: list[Seed]) -> bytearray:
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.randbytes(rng.choice((1, 3, 16, 256)))
    return data


def _splice(rng: random.Random, data: bytearray, valid_files: list[Seed]) -> bytearray:
    other = rng.choice(valid_files).data
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other)) :]


_BYTE_CHANGES = [_bits, _number, _cut, _drop, _repeat, _noise, _splice]


def _shuffled(rng: random.Random, parts: list[bytes]) -> list[bytes]:
    """Drop, repeat, swap or move one part."""
    if not parts:
        return parts
    first, second = rng.randrange(len(parts)), rng.randrange(len(parts))
    match rng.randrange(4):
        case 0:
            del parts[first]
        case 1:
            parts[first:first] = [parts[first]] * rng.choice((1, 3, 200))
        case 2:
            parts[first], parts[second] = parts[second], parts[first]
        case _:
            parts.insert(second, parts.pop(first))
    return parts


def _jpeg(rng: random.Random, data: bytearray, valid_files: list[Seed]) -> bytearray:
    """Mutate whole segments; half of the time, the length of a changed one is corrected."""
    parts, position = [bytes(data[:2])], 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        parts.append(bytes(data[position:end]))
        position = end
        if position + 2 > len(data):
            break
    rest = bytes(data[position:])
    if rng.random() < 0.5 or len(parts) < 2:
        return bytearray(b"".join(_shuffled(rng, parts)) + rest)
    chosen = rng.randrange(1, len(parts))
    payload = _bits(rng, bytearray(parts[chosen][4:]), valid_files)
    payload = _repeat(rng, payload, valid_files) if rng.random() < 0.3 else payload
    length = len(payload) + 2 if rng.random() < 0.5 else rng.choice(_NUMBERS)
    parts[chosen] = parts[chosen][:2] + struct.pack(">H", length & 0xFFFF) + payload
    return bytearray(b"".join(parts) + rest)


def _png(rng: random.Random, data: bytearray, valid_files: list[Seed]) -> bytearray:
    """Mutate whole chunks; four of five checksums are right, so that decoders read the content."""
    chunks, position = [], 8
    while position + 12 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        kind, payload = bytes(data[position + 4 : position + 8]), bytes(data[position + 8 : position + 8 + size])
        if position and rng.random() < 0.4:
            payload = (
                _inflated(rng, payload, valid_files)
                if kind == b"IDAT"
                else bytes(_number(rng, bytearray(payload), valid_files))
            )
        chunks.append(png_chunk(kind, payload, checksum=1 if rng.random() < 0.05 else None))
        position += 12 + size
    if rng.random() < 0.5:
        chunks = _shuffled(rng, chunks)
    return bytearray(PNG_MAGIC + b"".join(chunks))


def _inflated(rng: random.Random, payload: bytes, valid_files: list[Seed]) -> bytes:
    """Mutate the decompressed pixels."""
    try:
        raw = bytearray(zlib.decompress(payload))
    except zlib.error:
        return payload
    change: Callable[[random.Random, bytearray, list[Seed]], bytearray] = rng.choice([_bits, _drop, _repeat, _cut])
    return zlib.compress(bytes(change(rng, raw, valid_files)))


def _webp(rng: random.Random, data: bytearray, valid_files: list[Seed]) -> bytearray:
    """Mutate whole RIFF chunks; half of the time, the total size is corrected."""
    chunks, position = [], 12
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        chunks.append(bytes(data[position : position + 8 + size + size % 2]))
        position += 8 + size + size % 2
    if rng.random() < 0.5 or not chunks:
        body = b"".join(_shuffled(rng, chunks))
    else:
        chosen = rng.randrange(len(chunks))
        payload = bytes(_number(rng, bytearray(chunks[chosen][8:]), valid_files))
        size = len(payload) if rng.random() < 0.5 else rng.choice(_NUMBERS)
        chunks[chosen] = chunks[chosen][:4] + struct.pack("<I", size & 0xFFFFFFFF) + payload
        body = b"".join(chunks)
    whole = len(body) + 4 if rng.random() < 0.7 else rng.choice(_NUMBERS)
    return bytearray(b"RIFF" + struct.pack("<I", whole & 0xFFFFFFFF) + b"WEBP" + body)


def _head(rng: random.Random, data: bytearray, valid_files: list[Seed]) -> bytearray:
    """Mutate numbers in the first bytes, where GIF and BMP have sizes, depths, offsets and flags."""
    for _ in range(rng.randint(1, 4)):
        head = _number(rng, data[:54], valid_files)
        data[: min(54, len(data))] = head
    return data


_STRUCTURAL_CHANGES = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "GIF": _head, "BMP": _head}
