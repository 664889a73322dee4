"""Broken, hostile and unusual images, each with its correct statuses; the same bytes on every run.

`cases()` has about 260 small requests, most of a few hundred bytes. `largest()` has a few of the largest allowed
size, in the modes for which decoders need most memory. A busy server may respond to any of them with 503 and
Retry-After.
"""

from __future__ import annotations

import dataclasses
import random
import struct
import zlib
from typing import TYPE_CHECKING

from PIL import Image

from e2e.scenarios import hostile_bytes as make

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OK, BAD_REQUEST, TOO_LARGE, UNSUPPORTED_TYPE, INVALID_PARAMETER = 200, 400, 413, 415, 422
FORM = 'multipart/form-data; boundary="frontier"'


@dataclasses.dataclass(frozen=True)
class Case:
    """One request to the classify endpoint, and its correct statuses."""

    name: str
    body: bytes
    statuses: frozenset[int]
    content_type: str = "application/octet-stream"


def cases() -> list[Case]:
    """Return every small case; names are unique."""
    groups = (unusual_but_valid, truncated, flipped, wrong_types, hostile_png, hostile_jpeg, hostile_others, forms)
    found = [case for group in groups for case in group()]
    assert len({case.name for case in found}) == len(found)
    return found


def largest(*, pixels: int = 25_000_000, max_bytes: int = 10 * 1024 * 1024) -> list[Case]:
    """Return images with as many pixels as allowed. 413 is correct if the memory limit is too low for the mode."""
    side = int(pixels**0.5)
    ramp = Image.linear_gradient("L").resize((side, side))
    colour = Image.merge("RGB", (ramp, ramp.rotate(90), ramp.rotate(180)))
    alpha = Image.merge("RGBA", (*colour.split(), ramp))
    builders: dict[str, Callable[[], bytes]] = {
        "png-rgba": lambda: make.encoded(alpha, "PNG", compress_level=6),
        "png-rgb16": lambda: make.png_rows(side, side, 3),
        "png-rgb16-interlaced": lambda: make.png_rows(side, side, 3, interlaced=True),
        "png-palette-alpha": lambda: make.encoded(
            colour.quantize(64), "PNG", transparency=bytes(range(64)), compress_level=6
        ),
        "jpeg-cmyk": lambda: make.encoded(colour.convert("CMYK"), "JPEG", quality=60),
        "jpeg-cmyk-progressive": lambda: make.encoded(
            colour.convert("CMYK"), "JPEG", quality=60, progressive=True
        ),
        "jpeg-progressive-444": lambda: make.encoded(colour, "JPEG", quality=60, progressive=True, subsampling=0),
        "jpeg": lambda: make.encoded(colour, "JPEG", quality=80),
        "webp-animated": lambda: make.encoded(
            colour, "WEBP", save_all=True, append_images=[colour.rotate(90)], quality=30, method=0
        ),
        "webp-lossless-alpha": lambda: make.encoded(alpha, "WEBP", lossless=True, quality=0, method=0),
        "gif": lambda: make.encoded(ramp.quantize(16), "GIF"),
    }
    built = {name: build() for name, build in builders.items()}
    return [
        Case(
            f"largest-{name}",
            body,
            frozenset({OK, TOO_LARGE}) if len(body) <= max_bytes else frozenset({TOO_LARGE}),
        )
        for name, body in built.items()
    ]


def seeds() -> dict[str, bytes]:
    """Return one small valid file of each format."""
    picture, encoded = make.picture, make.encoded
    return {
        "jpeg": encoded(picture(), "JPEG"),
        "jpeg-progressive": encoded(picture(), "JPEG", progressive=True),
        "jpeg-grey": encoded(picture("L"), "JPEG"),
        "jpeg-cmyk": encoded(picture("CMYK"), "JPEG"),
        "png-rgb": encoded(picture(), "PNG"),
        "png-rgba": encoded(picture("RGBA"), "PNG"),
        "png-palette": encoded(picture("P"), "PNG"),
        "png-16-bit": encoded(Image.new("I;16", (64, 48), 40000), "PNG"),
        "webp": encoded(picture(), "WEBP"),
        "webp-lossless": encoded(picture("RGBA"), "WEBP", lossless=True),
        "gif": encoded(picture("P"), "GIF"),
        "bmp": encoded(picture(), "BMP"),
    }


def unusual_but_valid() -> Iterator[Case]:
    """Yield unusual images that must be classified."""
    picture, encoded = make.picture, make.encoded
    frames = [picture(), picture().rotate(90)]
    files = {f"plain-{name}": body for name, body in seeds().items()}
    files |= {f"one-pixel-{name}": encoded(picture(size=(1, 1)), name) for name in ("JPEG", "PNG", "WEBP", "BMP")}
    files |= {f"thin-{w}x{h}": encoded(picture(size=(w, h)), "PNG") for w, h in ((1, 5000), (5000, 1), (2, 900))}
    for value in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65535):
        files[f"orientation-{value}"] = make.jpeg_with(make.jpeg_segment(0xE1, make.exif(value)))
    files["orientation-big-endian"] = make.jpeg_with(make.jpeg_segment(0xE1, make.exif(6, order=">")))
    files["orientation-odd-type"] = make.jpeg_with(make.jpeg_segment(0xE1, make.exif(6, field_type=12)))
    files["orientation-png"] = encoded(picture(), "PNG", exif=make.exif(8))
    files["orientation-webp"] = encoded(picture(), "WEBP", exif=make.exif(8))
    files["one-pixel-gif"] = encoded(picture("P", (1, 1)), "GIF")
    files["png-1-bit"] = encoded(picture("1"), "PNG")
    files["png-grey-alpha"] = encoded(picture("LA"), "PNG")
    files["png-palette-alpha"] = encoded(picture("P"), "PNG", transparency=bytes(range(0, 256, 16)))
    files["png-rgb-key"] = encoded(picture(), "PNG", transparency=(30, 120, 200))
    files["png-grey-key"] = encoded(picture("L"), "PNG", transparency=0)
    files["png-invisible"] = encoded(Image.new("RGBA", (9, 9)), "PNG")
    files |= {f"png-16-bit-{n}": make.png_rows(20, 10, n) for n in (2, 3, 4)}
    files |= {f"png-interlaced-{n}": make.png_rows(20, 10, n, interlaced=True) for n in (1, 4)}
    files["png-animated"] = encoded(frames[0], "PNG", save_all=True, append_images=frames)
    files["gif-animated"] = encoded(frames[0], "GIF", save_all=True, append_images=frames)
    files["gif-transparent"] = encoded(picture("P"), "GIF", transparency=0)
    files["gif-frame-beyond-screen"] = seeds()["gif"][:6] + bytes((1, 0, 1, 0)) + seeds()["gif"][10:]
    files["webp-animated"] = encoded(frames[0], "WEBP", save_all=True, append_images=frames)
    files["bmp-top-down"] = make.bmp(8, -8)
    files |= {f"bmp-{bits}-bit": make.bmp(9, 5, bits=bits) for bits in (1, 4, 8, 16, 24, 32)}
    files["bmp-run-length"] = make.bmp(8, 2, bits=8, compression=1, pixels=b"\x08\x01\0\0\x08\x02\0\1")
    files["jpeg-then-zip"] = seeds()["jpeg"] + b"PK\x03\x04" + b"\0" * 500
    files["png-then-text"] = seeds()["png-rgb"] + b"<script>" * 50
    for name, body in files.items():
        yield Case(name, body, frozenset({OK}))
    for content_type in ("image/png", "image/jpeg", "image/x-anything", "IMAGE/JPEG; q=1"):
        yield Case(f"jpeg-declared-as-{content_type}", seeds()["jpeg"], frozenset({OK}), content_type)


def truncated() -> Iterator[Case]:
    """Yield every format truncated at several points; a decoder may accept one without its last bytes."""
    for name, body in seeds().items():
        for percent in (1, 5, 20, 50, 80):
            yield Case(
                f"cut-{name}-at-{percent}",
                body[: len(body) * percent // 100],
                frozenset({BAD_REQUEST, UNSUPPORTED_TYPE}),
            )
        yield Case(f"cut-{name}-last-bytes", body[:-3], frozenset({OK, BAD_REQUEST}))


def flipped() -> Iterator[Case]:
    """Yield every format with some bytes changed; the decoder decides whether it is still an image."""
    chance = random.Random(20_000)
    for name, body in seeds().items():
        for variant in range(6):
            damaged = bytearray(body)
            for _ in range(2 + 8 * variant):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            yield Case(
                f"flipped-{name}-{variant}",
                bytes(damaged),
                frozenset({OK, BAD_REQUEST, TOO_LARGE, UNSUPPORTED_TYPE}),
            )


def wrong_types() -> Iterator[Case]:
    """Yield unsupported formats, and valid images with wrong content types."""
    tiff = make.encoded(make.picture(), "TIFF")
    bodies = {
        "text": b"this is not an image",
        "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>',
        "pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF",
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "html": b"<!doctype html><script>alert(1)</script>",
        "json": b'{"image": "aGVsbG8="}',
        "zip": b"PK\x03\x04" + bytes(64),
        "elf": b"\x7fELF\x02\x01\x01" + bytes(64),
        "tiff": tiff,
        "ico": make.encoded(make.picture(), "ICO"),
        "ppm": make.encoded(make.picture(), "PPM"),
        "psd": b"8BPS\0\1" + bytes(40),
        "heic": b"\0\0\0\x18ftypheic" + bytes(40),
        "avif": b"\0\0\0\x18ftypavif" + bytes(40),
        "jpeg2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
        "fits": b"SIMPLE  =                    T".ljust(2880),
        "riff-wave": b"RIFF\x24\0\0\0WAVEfmt " + bytes(40),
        "nulls": bytes(4096),
        "random": random.Random(7).randbytes(100_000),
    }
    for name, body in bodies.items():
        yield Case(f"not-an-image-{name}", body, frozenset({UNSUPPORTED_TYPE}))
    yield Case("empty", b"", frozenset({BAD_REQUEST}))
    for size in (1, 2, 3, 8):
        yield Case(f"jpeg-first-{size}", seeds()["jpeg"][:size], frozenset({BAD_REQUEST, UNSUPPORTED_TYPE}))
    for content_type in (
        "",
        "text/plain",
        "application/json",
        "application/x-www-form-urlencoded",
        "imagejpeg",
        "a" * 2000,
    ):
        name = f"typed-{content_type[:40] or 'not-at-all'}"
        yield Case(name, seeds()["jpeg"], frozenset({UNSUPPORTED_TYPE}), content_type)


def hostile_png() -> Iterator[Case]:
    """Yield PNGs with a false size, or with decompression bombs."""
    png, chunk = make.png, make.png_chunk
    bomb = zlib.compress(bytes(20_000_000), 9)
    bad = frozenset({BAD_REQUEST})
    ok_or_bad = frozenset({OK, BAD_REQUEST})
    yield Case("png-20000x20000-header", png(20_000, 20_000, pixels=b""), frozenset({TOO_LARGE}))
    yield Case("png-largest-header", png(2**31 - 1, 2**31 - 1, pixels=b""), frozenset({TOO_LARGE}))
    yield Case("png-zero-width", png(0, 10), bad)
    yield Case("png-colour-type-5", png(4, 4, colour=5), bad)
    yield Case("png-depth-3", png(4, 4, depth=3), bad)
    yield Case("png-no-palette", png(4, 4, colour=3), ok_or_bad)
    yield Case("png-24-million-in-24-kilobytes", png(4900, 4900), frozenset({OK}))
    yield Case("png-more-data-than-pixels", png(4, 4, pixels=bytes(20_000_000)), ok_or_bad)
    yield Case("png-less-data-than-pixels", png(400, 400, pixels=bytes(100)), bad)
    yield Case("png-text-bomb", png(4, 4, before=chunk(b"zTXt", b"a\0\0" + bomb)), frozenset({OK}))
    yield Case("png-itxt-bomb", png(4, 4, before=chunk(b"iTXt", b"a\0\1\0\0\0" + bomb)), frozenset({OK}))
    yield Case("png-profile-bomb", png(4, 4, before=chunk(b"iCCP", b"a\0\0" + bomb)), frozenset({OK}))
    yield Case("png-profile-garbage", png(4, 4, before=chunk(b"iCCP", b"\0" * 30)), frozenset({OK}))
    yield Case("png-many-bombs", png(4, 4, before=chunk(b"zTXt", b"a\0\0" + bomb) * 100), frozenset({OK}))
    yield Case("png-100000-chunks", png(4, 4, before=chunk(b"prVt") * 100_000), bad)
    yield Case(
        "png-exif-overlapping",
        png(4, 4, before=chunk(b"eXIf", make.overlapping_fields(60_000, 2_000_000, prefix=b""))),
        frozenset({OK}),
    )
    yield Case("png-long-palette", png(4, 4, before=chunk(b"PLTE", bytes(30_000))), bad)
    yield Case("png-chunk-length-beyond-file", png(4, 4, before=b"\x7f\xff\xff\xfftEXt"), bad)
    yield Case(
        "png-bad-header-crc",
        make.PNG_MAGIC
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0), checksum=1)
        + chunk(b"IDAT", zlib.compress(bytes(20))),
        ok_or_bad,
    )
    yield Case(
        "png-bad-zlib",
        make.PNG_MAGIC
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", b"\x78\x9c" + b"\xff" * 40)
        + chunk(b"IEND"),
        bad,
    )
    yield Case(
        "png-no-data",
        make.PNG_MAGIC + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0)) + chunk(b"IEND"),
        bad,
    )
    yield Case("png-no-header", make.PNG_MAGIC + chunk(b"IDAT", zlib.compress(bytes(20))) + chunk(b"IEND"), bad)
    yield Case("png-no-end", png(4, 4, end=b""), ok_or_bad)
    yield Case("png-magic-only", make.PNG_MAGIC, bad)


def hostile_jpeg() -> Iterator[Case]:
    """Yield JPEGs with a false size, loops, or more metadata than image."""
    segment, extra = make.jpeg_segment, make.jpeg_with
    plain = seeds()["jpeg"]
    scan = plain[plain.index(b"\xff\xda") :]
    start = b"\xff\xd8"
    ok = frozenset({OK})
    bad = frozenset({BAD_REQUEST})
    ok_or_bad = frozenset({OK, BAD_REQUEST})
    app = bytes(65_533)
    yield Case("jpeg-20000x20000-header", start + make.jpeg_frame(20_000, 20_000) + scan, frozenset({TOO_LARGE}))
    yield Case("jpeg-65535-header", start + make.jpeg_frame(65_535, 65_535) + scan, frozenset({TOO_LARGE}))
    yield Case("jpeg-zero-height", start + make.jpeg_frame(100, 0) + scan, bad)
    yield Case("jpeg-no-frame", start + scan, bad)
    yield Case("jpeg-no-tables", start + make.jpeg_frame(64, 48) + scan, bad)
    yield Case("jpeg-two-frames", extra(make.jpeg_frame(8, 8) * 2), bad)
    yield Case("jpeg-lossless-frame", start + make.jpeg_frame(8, 8, marker=0xC3) + scan, bad)
    yield Case("jpeg-255-components", start + make.jpeg_frame(8, 8, components=255) + scan, bad)
    yield Case("jpeg-2-components", start + make.jpeg_frame(8, 8, components=2) + scan, bad)
    yield Case("jpeg-scan-flood", make.jpeg_scans(2000), frozenset({TOO_LARGE}))
    yield Case("jpeg-exif-overlapping", extra(segment(0xE1, make.overlapping_fields(4_000, 60_000))), ok)
    yield Case("jpeg-exif-loop", extra(segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(40))), ok)
    yield Case("jpeg-exif-huge", extra(segment(0xE1, b"Exif\0\0" + app[:-6]) * 100), ok)
    yield Case("jpeg-exif-garbage", extra(segment(0xE1, b"Exif\0\0" + b"\xff" * 200)), ok)
    yield Case(
        "jpeg-multi-picture-overlapping",
        extra(segment(0xE2, make.overlapping_fields(4_000, 60_000, prefix=b"MPF\0"))),
        ok,
    )
    yield Case("jpeg-profile-garbage", extra(segment(0xE2, b"ICC_PROFILE\0\1\1" + b"\xff" * 400)), ok)
    yield Case("jpeg-profile-of-255-parts", extra(segment(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(4000)) * 255), ok)
    yield Case("jpeg-comments", extra(segment(0xFE, app) * 60), ok)
    yield Case("jpeg-segment-flood", extra(segment(0xFE) * 100_000), bad)
    yield Case("jpeg-photoshop-garbage", extra(segment(0xED, b"Photoshop 3.0\0" + b"8BIM\xff\xff\xff" * 50)), ok)
    yield Case("jpeg-segment-length-0", start + b"\xff\xe1\0\0" + plain[2:], bad)
    yield Case("jpeg-adobe-odd", extra(segment(0xEE, b"Adobe\0\x64\0\0\0\0\x07")), ok_or_bad)
    yield Case("jpeg-restart-flood", plain[:-2] + b"\xff\xd0\xff\xd1" * 50_000 + b"\xff\xd9", ok_or_bad)
    yield Case("jpeg-fill-bytes", start + b"\xff" * 1000 + plain[3:], ok)


def hostile_others() -> Iterator[Case]:
    """Yield GIF, BMP and WebP files with false headers."""
    ok = frozenset({OK})
    bad = frozenset({BAD_REQUEST})
    large = frozenset({TOO_LARGE})
    ok_or_bad = frozenset({OK, BAD_REQUEST})
    webp, lossless = seeds()["webp"], seeds()["webp-lossless"]
    comment = b"\x21\xfe" + (b"\xff" + bytes(255)) * 2000 + b"\0"
    yield Case("gif-65535-screen", make.gif((65_535, 65_535), (0, 0, 1, 1)), large)
    yield Case("gif-65535-frame", make.gif((1, 1), (65_535, 65_535, 65_535, 65_535)), large)
    yield Case("gif-no-frame", b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0, 0, 0) + b"\x3b", bad)
    yield Case("gif-empty-frame", make.gif((4, 4), (0, 0, 0, 0)), bad)
    yield Case(
        "gif-bad-lzw", make.gif((40, 40), (0, 0, 40, 40), data=b"\x02\x10" + b"\xff" * 16 + b"\0"), ok_or_bad
    )
    yield Case("gif-lzw-code-size-200", make.gif((4, 4), (0, 0, 4, 4), data=b"\xc8\x02\x4c\x01\x00"), bad)
    yield Case("gif-no-data", make.gif((4, 4), (0, 0, 4, 4), data=b"", end=b""), bad)
    yield Case("gif-comments", make.gif((1, 1), (0, 0, 1, 1), before=comment * 3), ok)
    yield Case(
        "gif-comment-flood", make.gif((1, 1), (0, 0, 1, 1), before=b"\x21\xfe" + b"\1a" * 200_000 + b"\0"), bad
    )
    yield Case("gif-unknown-block", make.gif((4, 4), (0, 0, 4, 4), before=b"\x77\x77"), bad)
    yield Case("bmp-20000x20000-header", make.bmp(20_000, 20_000, pixels=b""), large)
    yield Case("bmp-negative-width", make.bmp(-8, 8), bad)
    yield Case("bmp-most-negative-height", make.bmp(8, -(2**31), pixels=b""), large)
    yield Case("bmp-zero-height", make.bmp(8, 0, pixels=b""), bad)
    yield Case("bmp-3-bits", make.bmp(8, 8, bits=3), bad)
    yield Case("bmp-header-of-7-bytes", make.bmp(8, 8, header=7), bad)
    yield Case("bmp-offset-beyond-file", make.bmp(8, 8, offset=2**31), bad)
    yield Case("bmp-no-pixels", make.bmp(800, 800, pixels=b""), bad)
    yield Case("bmp-run-length-large", make.bmp(4900, 4900, bits=8, compression=1, pixels=b"\0\1"), large)
    yield Case(
        "bmp-run-length-slow",
        make.bmp(1900, 1900, bits=8, compression=1, pixels=b"\1\5" * 3_000_000),
        large,
    )
    yield Case("bmp-run-length-overrun", make.bmp(4, 4, bits=8, compression=1, pixels=b"\xff\1" * 500), ok_or_bad)
    yield Case("bmp-unknown-compression", make.bmp(8, 8, compression=99), bad)
    yield Case("webp-canvas-16777216", make.riff(make.webp_canvas(2**24, 2**24), (b"VP8 ", webp[20:])), large)
    yield Case("webp-canvas-other-than-frame", make.riff(make.webp_canvas(900, 900), (b"VP8 ", webp[20:])), bad)
    yield Case("webp-canvas-only", make.riff(make.webp_canvas(8, 8)), bad)
    yield Case("webp-lossless-16383", lossless[:12] + b"VP8L\x09\0\0\0\x2f\xff\xff\xff\x0f" + bytes(9), large)
    yield Case("webp-bad-start-code", webp[:23] + b"\0\0\0" + webp[26:], bad)
    yield Case("webp-unknown-chunk", webp[:12] + b"VP9 " + webp[16:], bad)
    yield Case("webp-riff-size-0", webp[:4] + bytes(4) + webp[8:], ok_or_bad)
    yield Case("webp-exif-garbage", make.encoded(make.picture(), "WEBP", exif=b"\xff" * 300), ok)


def forms() -> Iterator[Case]:
    """Yield multipart bodies, valid and invalid."""
    image, form = seeds()["jpeg"], make.form
    good = form(("file", image))
    ok, bad, parameter = frozenset({OK}), frozenset({BAD_REQUEST}), frozenset({INVALID_PARAMETER})
    yield Case("form", good, ok, FORM)
    yield Case("form-unquoted-boundary", good, ok, "multipart/form-data; boundary=frontier")
    yield Case("form-with-top-k", form(("top_k", b"3"), ("file", image)), ok, FORM)
    yield Case("form-with-preamble", b"ignore\r\n" + good, ok, FORM)
    yield Case("form-odd-filename", form(("file", image), filename="../../etc/passwd; name=other"), ok, FORM)
    yield Case("form-boundary-inside-image", form(("file", image + b"\r\n--fronti")), ok, FORM)
    yield Case("form-no-boundary", good, bad, "multipart/form-data")
    yield Case("form-other-boundary", good, bad, "multipart/form-data; boundary=other")
    yield Case("form-long-boundary", good, bad, "multipart/form-data; boundary=" + "b" * 300)
    yield Case("form-empty", b"", bad, FORM)
    yield Case("form-not-closed", form(("file", image), close=False), frozenset({OK, BAD_REQUEST}), FORM)
    yield Case("form-cut", good[: len(good) // 2], bad, FORM)
    yield Case("form-image-without-form", image, bad, FORM)
    yield Case("form-no-file", form(("top_k", b"3")), parameter, FORM)
    yield Case("form-two-files", form(("file", image), ("file", image)), parameter, FORM)
    yield Case("form-empty-file", form(("file", b"")), bad, FORM)
    yield Case("form-text-as-file", form(("file", b"hello")), frozenset({UNSUPPORTED_TYPE}), FORM)
    yield Case("form-20-fields", form(*((f"f{n}", b"x") for n in range(20)), ("file", image)), bad, FORM)
    yield Case("form-long-field", form(("note", bytes(5000)), ("file", image)), parameter, FORM)
    for value in (b"0", b"11", b"-1", b"five", b"", b"1e1", b"\xd9\xa3", b"9" * 100):
        yield Case(f"form-top-k-{value[:8].hex()}", form(("top_k", value), ("file", image)), parameter, FORM)
    unnamed = good.replace(b' name="file";', b"")
    yield Case("form-unnamed-part", unnamed, bad, FORM)
    yield Case("form-part-without-headers", b"--frontier\r\n\r\n" + image + b"\r\n--frontier--\r\n", bad, FORM)
    flood = b"--frontier\r\n" + b"X-A: b\r\n" * 5000 + b"\r\n" + image + b"\r\n--frontier--\r\n"
    yield Case("form-header-flood", flood, bad, FORM)
    yield Case("form-boundary-flood", b"--frontier\r\n" * 20_000, bad, FORM)
    yield Case("more-bytes-than-allowed", image + bytes(11 * 1024 * 1024), frozenset({TOO_LARGE}), "image/jpeg")
    yield Case(
        "form-more-bytes-than-allowed", form(("file", bytes(11 * 1024 * 1024))), frozenset({TOO_LARGE}), FORM
    )
