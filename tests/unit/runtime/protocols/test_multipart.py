"""Forms are parsed strictly, within limits, and without copying the file."""

from __future__ import annotations

import pytest
from imageclassifier_runtime.errors import BodyInvalidError, ParameterError, RequestError
from imageclassifier_runtime.protocols import multipart

from e2e.scenarios.hostile_bytes import form


def test_the_file_is_extracted_byte_for_byte() -> None:
    image = b"\r\n--fron\r\n\x00\xff--frontie\r\n"
    body = form(("top_k", b"3"), ("file", image))
    found = multipart.parse(body, b"frontier")
    assert body[slice(*found.files[0])] == image
    assert found.fields == {"top_k": "3"}


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('multipart/form-data; boundary="a b"', b"a b"),
        ("multipart/form-data; charset=utf-8; BOUNDARY=abc ", b"abc"),
        ("multipart/form-data;boundary=abc;x=y", b"abc"),
    ],
)
def test_all_notations_of_boundaries_are_parsed(header: str, boundary: bytes) -> None:
    assert multipart.boundary_of(header) == boundary


@pytest.mark.parametrize(
    "header", ["multipart/form-data", "multipart/form-data; boundary=", "x; boundary=" + "b" * 71]
)
def test_a_missing_or_long_boundary_is_rejected(header: str) -> None:
    with pytest.raises(BodyInvalidError):
        multipart.boundary_of(header)


def test_a_name_parameter_inside_a_file_name_is_ignored() -> None:
    body = form(("file", b"x"), filename='a; name="other')
    assert multipart.parse(
        body.replace(b'name="file"; ', b"").replace(b'"\r\n', b'"; name="file"\r\n', 1), b"frontier"
    )


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (form(("file", b"x"), ("file", b"y")), ParameterError),
        (form(("note", b"x")), ParameterError),
        (form(*((f"f{n}", b"") for n in range(9))), BodyInvalidError),
        (form(("file", b"x"), close=False), BodyInvalidError),
        (b"--frontier", BodyInvalidError),
        (b"--frontierX\r\n\r\n", BodyInvalidError),
        (b"", BodyInvalidError),
    ],
)
def test_a_malformed_form_is_rejected(body: bytes, error: type[RequestError]) -> None:
    with pytest.raises(error):
        multipart.parse(body, b"frontier")
