"""HTTP/1.1 bytes: prebuilt requests, and a minimal parser of response heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runtime.bench.errors import BenchError

if TYPE_CHECKING:
    from pathlib import Path

_BOUNDARY = b"imageclassifier-bench-7MA4YWxkTrZu0gW"
_END = b"\r\n\r\n"


class ResponseError(Exception):
    """A response that is not HTTP/1.1 with a Content-Length."""


class Head(NamedTuple):
    """Where a response ends (offset of the first byte after it), and its head's fields."""

    end: int
    status: int
    closes: bool
    retry_after: float


def request(path: str, image: bytes, *, form: bool) -> bytes:
    """Return a whole POST request with one JPEG file: as the field `file` of a form, or as the raw body."""
    if form:
        content_type = b"multipart/form-data; boundary=" + _BOUNDARY
        body = b"".join(
            (
                b"--" + _BOUNDARY + b"\r\n",
                b'Content-Disposition: form-data; name="file"; filename="photo.jpg"\r\n',
                b"Content-Type: image/jpeg\r\n\r\n",
                image,
                b"\r\n--" + _BOUNDARY + b"--\r\n",
            )
        )
    else:
        content_type, body = b"image/jpeg", image
    return b"".join(
        (
            f"POST {path} HTTP/1.1\r\n".encode("ascii"),
            b"Host: bench\r\nAccept: */*\r\n",
            b"Content-Type: " + content_type + b"\r\n",
            f"Content-Length: {len(body)}\r\n\r\n".encode("ascii"),
            body,
        )
    )


def requests(path: str, pictures: Path, *, form: bool) -> list[bytes]:
    """Return one request for each JPEG file of a folder, by name; raises BenchError if there is none."""
    files = sorted(pictures.glob("*.jpg"))
    if not files:
        raise BenchError(f"no *.jpg in {pictures}")
    return [request(path, file.read_bytes(), form=form) for file in files]


def parse_head(data: bytes | bytearray) -> Head | None:
    """Parse the response head at the start of `data`, or return None if it is incomplete.

    The body may be missing. Raises ResponseError for responses that this client does not support.
    """
    end = data.find(_END)
    if end < 0:
        if len(data) > 65_536:
            raise ResponseError("the head has more than 64 KiB")
        return None
    head = bytes(data[: end + 2]).lower()
    if not head.startswith(b"http/1.1 ") or not head[9:12].isdigit():
        raise ResponseError(f"not an HTTP/1.1 response: {head[:40]!r}")
    length = _field(head, b"content-length")
    if length is None or not length.isdigit():
        raise ResponseError("a response without Content-Length")
    retry = _field(head, b"retry-after")
    return Head(
        end=end + len(_END) + int(length),
        status=int(head[9:12]),
        closes=b"\r\nconnection: close\r\n" in head,
        retry_after=float(retry) if retry is not None and retry.isdigit() else 0.0,
    )


def _field(head: bytes, name: bytes) -> bytes | None:
    start = head.find(b"\r\n" + name + b":")
    if start < 0:
        return None
    start += len(name) + 3
    return head[start : head.find(b"\r\n", start)].strip()
