"""Requests are complete HTTP messages; of a response, only its length, status and two headers are parsed."""

import pytest
from imageclassifier_runtime.protocols import multipart

from runtime.bench import wire

RESPONSE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 2\r\n"
    b"Connection: close\r\nContent-Length: 7\r\n\r\n"
)


def split(request: bytes) -> tuple[dict[bytes, bytes], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    return fields, body


def test_a_form_contains_the_picture_as_its_file() -> None:
    picture = b"\xff\xd8 some \r\n bytes"
    fields, body = split(wire.request("/predict", picture, form=True))
    assert int(fields[b"Content-Length"]) == len(body)
    ((start, end),) = multipart.parse(body, multipart.boundary_of(fields[b"Content-Type"].decode())).files
    assert body[start:end] == picture


def test_a_raw_body_is_the_picture() -> None:
    request = wire.request("/api/v1/classify", b"\xff\xd8picture", form=False)
    assert request.startswith(b"POST /api/v1/classify HTTP/1.1\r\n")
    fields, body = split(request)
    assert (fields[b"Content-Type"], body) == (b"image/jpeg", b"\xff\xd8picture")


def test_the_head_of_a_response_has_its_length_status_and_retry_after() -> None:
    assert wire.parse_head(RESPONSE + b"{}") == wire.Head(
        end=len(RESPONSE) + 7, status=503, closes=True, retry_after=2.0
    )


def test_a_keep_alive_response_has_no_retry_after() -> None:
    head = wire.parse_head(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    assert head is not None
    assert (head.status, head.closes, head.retry_after) == (200, False, 0.0)


def test_an_incomplete_head_is_not_parsed() -> None:
    assert wire.parse_head(RESPONSE[:-1]) is None


@pytest.mark.parametrize(
    "data",
    [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"SSH-2.0-x\r\n\r\n", b"x" * 70_000],
    ids=["chunked", "not HTTP", "endless"],
)
def test_a_response_without_a_known_length_is_rejected(data: bytes) -> None:
    with pytest.raises(wire.ResponseError):
        wire.parse_head(data)
