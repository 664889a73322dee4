"""Builds image files, byte by byte, that no image library would write."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image, ImageDraw

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def picture(mode: str = "RGB", size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Return a small drawing with edges, colours and, in modes that have it, transparency."""
    image = Image.new("RGBA", size, (30, 120, 200, 255))
    draw = ImageDraw.Draw(image)
    width, height = size
    draw.ellipse((width // 8, height // 8, width * 7 // 8, height * 7 // 8), fill=(220, 60, 40, 160))
    draw.rectangle((0, height // 2, width // 3, height), fill=(250, 230, 20, 255))
    if mode == "RGBA":
        return image
    if mode == "P":
        return image.convert("RGB").quantize(16)
    return image.convert(mode) if mode == "LA" else image.convert("RGB").convert(mode)


def encoded(image: Image.Image, image_format: str, **options: Any) -> bytes:
    """Return an image as an encoded file."""
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def png_chunk(chunk_type: bytes, data: bytes = b"", *, checksum: int | None = None) -> bytes:
    """Return one PNG chunk, with `checksum` instead of the right one if given."""
    crc = zlib.crc32(chunk_type + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + chunk_type + data + struct.pack(">I", crc)


def png(
    width: int,
    height: int,
    *,
    depth: int = 8,
    colour: int = 0,
    interlace: int = 0,
    pixels: bytes | None = None,
    before: bytes = b"",
    end: bytes | None = None,
) -> bytes:
    """Return a PNG from its parts; `pixels` is the uncompressed image data (default: zeros for 8-bit grey)."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    raw = b"\0" * ((width + 1) * height) if pixels is None else pixels
    return b"".join(
        (
            PNG_MAGIC,
            png_chunk(b"IHDR", header),
            before,
            png_chunk(b"IDAT", zlib.compress(raw, 9)),
            png_chunk(b"IEND") if end is None else end,
        )
    )


def png_rows(width: int, height: int, channels: int, *, interlaced: bool = False) -> bytes:
    """Return a PNG of 16 bits a channel, compressed row by row so that a large one needs little memory."""
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    row = b"".join(struct.pack(">H", (x * 40503) & 0xFF00) * channels for x in range(width))
    packer = zlib.compressobj(6)
    parts: list[bytes] = []
    passes = ((0, 0, 1, 1),)
    if interlaced:
        passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # type: ignore[assignment]
    step = 2 * channels
    for left, top, across, down in passes:
        line = b"\0" + b"".join(row[x * step : (x + 1) * step] for x in range(left, width, across))
        parts.extend(packer.compress(line) for _ in range(top, height, down))
    parts.append(packer.flush())
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, int(interlaced))
    return PNG_MAGIC + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"".join(parts)) + png_chunk(b"IEND")


def jpeg_segment(marker: int, data: bytes = b"") -> bytes:
    """Return one JPEG segment."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def jpeg_with(segments: bytes, image: bytes | None = None) -> bytes:
    """Return a JPEG with extra segments right after its first marker."""
    body = image if image is not None else encoded(picture(), "JPEG")
    return body[:2] + segments + body[2:]


def jpeg_frame(width: int, height: int, *, marker: int = 0xC0, components: int = 3) -> bytes:
    """Return a JPEG frame header."""
    parts = b"".join(bytes((index + 1, 0x11, 0)) for index in range(components))
    return jpeg_segment(marker, struct.pack(">BHHB", 8, height, width, components) + parts)


def jpeg_scans(count: int) -> bytes:
    """Return a progressive JPEG whose last scan is repeated until it has more than `count` scans."""
    body = encoded(picture(), "JPEG", progressive=True)
    last = body.rfind(b"\xff\xda")
    return body[:last] + body[last:-2] * count + body[-2:]


def exif(orientation: int, *, order: str = "<", field_type: int = 3, prefix: bytes = b"Exif\0\0") -> bytes:
    """Return an EXIF block with one field, the orientation."""
    mark = b"II" if order == "<" else b"MM"
    values = (42, 8, 1, 0x0112, field_type, 1, orientation & 0xFFFF, 0, 0)
    return prefix + mark + struct.pack(order + "HLHHHLHHL", *values)


def overlapping_fields(fields: int, size: int, *, prefix: bytes = b"Exif\0\0") -> bytes:
    """Return a TIFF block whose fields all point to the same `size` bytes; naive readers copy these for each."""
    table = b"".join(struct.pack("<HHLL", (0x9000 + index) & 0xFFFF, 7, size, 8) for index in range(fields))
    block = b"II" + struct.pack("<HLH", 42, 8, fields) + table + b"\0\0\0\0"
    return prefix + block.ljust(size + 8, b"\0")


def bmp(
    width: int,
    height: int,
    *,
    bits: int = 24,
    compression: int = 0,
    pixels: bytes | None = None,
    offset: int | None = None,
    header: int = 40,
) -> bytes:
    """Return a BMP from its parts, valid or not."""
    palette = b"".join(bytes((255 - index, index, 90, 0)) for index in range(1 << bits)) if bits <= 8 else b""
    row = (abs(width) * bits + 31) // 32 * 4
    data = b"\x40" * (row * abs(height)) if pixels is None else pixels
    start = 14 + 40 + len(palette) if offset is None else offset
    info = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, len(data), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(palette) + len(data), 0, 0, start) + info + palette + data


def gif(
    size: tuple[int, int],
    frame: tuple[int, int, int, int],
    *,
    data: bytes = b"\x02\x02\x4c\x01\x00",
    before: bytes = b"",
    end: bytes = b"\x3b",
) -> bytes:
    """Return a GIF from its parts; `frame` is left, top, width, height."""
    head = b"GIF89a" + struct.pack("<HHBBB", *size, 0x80, 0, 0) + b"\x10\x20\x30\xf0\xe0\xd0"
    return head + before + b"\x2c" + struct.pack("<HHHHB", *frame, 0) + data + end


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a WebP container."""
    body = b"WEBP"
    for chunk_type, data in chunks:
        body += chunk_type + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_canvas(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    """Return the header chunk of an extended WebP."""
    return b"VP8X", bytes((flags, 0, 0, 0)) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(
        3, "little"
    )


def form(
    *parts: tuple[str, bytes], boundary: str = "frontier", filename: str = "x.jpg", close: bool = True
) -> bytes:
    """Return a multipart/form-data body."""
    out = b""
    for name, content in parts:
        extra = f'; filename="{filename}"' if name == "file" else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'
        out += head.encode() + content + b"\r\n"
    return out + (f"--{boundary}--\r\n".encode() if close else b"")
