"""What is known about an image before a decoder runs."""

from __future__ import annotations

import io

import pytest
from imageclassifier_runtime.errors import ImageUndecodableError, TooLargeError, UnsupportedTypeError
from imageclassifier_runtime.inference import image_headers
from imageclassifier_runtime.inference.decode import decode
from imageclassifier_runtime.inference.image_headers.exif import orientation
from imageclassifier_runtime.inference.image_headers.formats import FORMATS, ImageFormat
from PIL import Image

from e2e.scenarios import hostile_bytes as make

SIZE = (64, 48)
KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")


@pytest.mark.parametrize("kind", KINDS)
def test_format_and_size_come_from_the_bytes(kind: str) -> None:
    header = image_headers.read(make.encoded(make.picture(size=SIZE), kind))
    assert (header.format, header.width, header.height, header.orientation) == (kind, *SIZE, 1)


@pytest.mark.parametrize(
    ("mode", "kind", "options", "per_pixel"),
    [
        ("RGB", "JPEG", {}, 4),
        ("L", "JPEG", {}, 1),
        ("RGB", "JPEG", {"progressive": True, "subsampling": 0}, 10),
        ("RGB", "JPEG", {"progressive": True, "subsampling": 2}, 7),
        ("CMYK", "JPEG", {"progressive": True}, 12),
        ("RGBA", "PNG", {}, 4),
        ("P", "PNG", {}, 1),
        ("RGB", "BMP", {}, 4),
    ],
)
def test_the_estimated_memory_of_decoding_matches_the_measurement(
    mode: str, kind: str, options: dict[str, object], per_pixel: float
) -> None:
    header = image_headers.read(make.encoded(make.picture(mode, SIZE), kind, **options))
    assert header.peak == per_pixel * SIZE[0] * SIZE[1]


def test_metadata_never_reaches_the_decoder() -> None:
    jpeg = make.jpeg_with(make.jpeg_segment(0xE1, make.exif(6) + b"SECRET") + make.jpeg_segment(0xE2, b"SECRET"))
    text = make.png_chunk(b"tEXt", b"a\0SECRET")
    for body in (jpeg, make.png(4, 4, before=text), make.gif((1, 1), (0, 0, 1, 1), before=b"\x21\xfe\6SECRET\0")):
        assert b"SECRET" in body
        with image_headers.read(body).open_file() as file:
            assert b"SECRET" not in file.read()


def test_the_pieces_decode_to_the_same_pixels() -> None:
    for kind, options in (("JPEG", {"exif": make.exif(6)}), ("PNG", {"exif": make.exif(3)}), ("GIF", {})):
        body = make.encoded(make.picture(), kind, **options)
        assert decode(image_headers.read(body)).tobytes() == Image.open(io.BytesIO(body)).tobytes()


def test_a_large_file_is_read_without_a_copy_and_gives_the_same_bytes() -> None:
    body = make.jpeg_with(
        make.jpeg_segment(0xFE, b"c" * 100), make.encoded(make.picture(), "JPEG") + bytes(900_000)
    )
    file = image_headers.read(bytearray(body)).open_file()
    assert not isinstance(file, io.BytesIO)
    whole = file.read()
    assert len(whole) == len(body) - 104
    file.seek(-10, io.SEEK_END)
    assert file.read() == whole[-10:]
    file.seek(300)
    assert file.read(1000) == whole[300:1300]


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_read_in_both_byte_orders(value: int, order: str) -> None:
    assert orientation(make.exif(value, order=order)) == value


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"Exif\0\0",
        b"II*\0",
        make.exif(0),
        make.exif(9),
        make.exif(6, field_type=4),
        make.overlapping_fields(4000, 60000),
    ],
)
def test_an_invalid_orientation_counts_as_upright(block: bytes) -> None:
    assert orientation(block) == 1


def test_pixels_and_sides_are_limited() -> None:
    header = image_headers.read(make.png(300, 10))
    image_headers.check_limits(header, max_pixels=3000, max_side=300)
    for limits in ({"max_pixels": 2999, "max_side": 300}, {"max_pixels": 3000, "max_side": 299}):
        with pytest.raises(TooLargeError, match="300 x 10"):
            image_headers.check_limits(header, **limits)


def test_a_progressive_jpeg_with_many_scans_is_too_large() -> None:
    assert image_headers.read(make.jpeg_scans(5))
    with pytest.raises(TooLargeError, match="scans"):
        image_headers.read(make.jpeg_scans(200))


def test_a_file_with_two_different_sizes_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    header = image_headers.read(make.png(30, 10))
    monkeypatch.setattr(Image, "open", lambda *_, **__: Image.new("L", (10, 30)))
    with pytest.raises(ImageUndecodableError, match="two different sizes"):
        decode(header)


def test_other_image_formats_are_unsupported() -> None:
    with pytest.raises(UnsupportedTypeError):
        image_headers.read(make.encoded(make.picture(), "TIFF"))


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_each_format_is_parsed_and_decoded_as_its_row_states(known: ImageFormat) -> None:
    header = image_headers.read(make.encoded(make.picture(size=SIZE), known.name.upper()))
    factory, _ = Image.OPEN[header.format]
    assert getattr(factory, "__module__", "") == known.plugin.__name__
    assert Image.MIME[header.format] == known.media_type
    assert {suffix for suffix, name in Image.EXTENSION.items() if name == header.format} >= set(known.suffixes)


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_a_file_truncated_in_its_magic_bytes_is_broken_not_unsupported(known: ImageFormat) -> None:
    for magic in known.magic:
        for end in range(1, len(magic) + 1):
            error = UnsupportedTypeError if known.tag else ImageUndecodableError
            with pytest.raises(error):
                image_headers.read(magic[:end])
