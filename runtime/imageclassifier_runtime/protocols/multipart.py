"""A parser of multipart/form-data with limits: files and a few short fields, located without copying the files."""

from __future__ import annotations

import re
from typing import NamedTuple

from imageclassifier_runtime.errors import BodyInvalidError, ParameterError

FILE = "file"
_MAX_FIELDS = 4
_MAX_HEADERS = 8 * 1024
_MAX_VALUE = 1024
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))\s*(?:;|$)', re.IGNORECASE)
_PARAMETER = re.compile(rb';\s*([\w*-]+)=("(?:[^"\\]|\\.)*"|[^;\s]*)')
_DISPOSITION = re.compile(rb"^content-disposition:\s*form-data\b([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


class Form(NamedTuple):
    """The files' positions in the body (start, end), in order, and the other fields."""

    files: list[tuple[int, int]]
    fields: dict[str, str]


def boundary_of(content_type: str) -> bytes:
    """Return the boundary of a multipart Content-Type; raises BodyInvalidError."""
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise BodyInvalidError("The Content-Type multipart/form-data has no boundary.")
    return (match[1] or match[2]).encode("latin-1", "replace")


def parse(body: bytes | bytearray, boundary: bytes, max_files: int = 1) -> Form:
    """Locate the parts of a form; raises BodyInvalidError, ParameterError."""
    max_parts = max_files + _MAX_FIELDS
    delimiter = b"--" + boundary
    position = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter, 0, 1024) + 2
    if position == 1:
        raise BodyInvalidError("The form does not start with its boundary.")
    position += len(delimiter)
    files: list[tuple[int, int]] = []
    fields: dict[str, str] = {}
    for _ in range(max_parts + 1):
        if body[position : position + 2] == b"--":
            break
        start, name = _headers(body, position)
        end = body.find(b"\r\n" + delimiter, start)
        if end < 0:
            raise BodyInvalidError("The form ends inside a part.")
        if name == FILE:
            if len(files) == max_files:
                raise ParameterError(
                    "The form has more than one field `file`: send one image at a time."
                    if max_files == 1
                    else f"The form has more than {max_files} fields `file`: send fewer images at a time."
                )
            files.append((start, end))
        elif end - start > _MAX_VALUE:
            raise ParameterError(f"The form field `{name[:40]}` is too long; the image belongs in `file`.")
        else:
            fields[name] = body[start:end].decode("utf-8", "replace")
        position = end + 2 + len(delimiter)
    else:
        raise BodyInvalidError(f"The form has more than {max_parts} parts.")
    if not files:
        raise ParameterError("The form has no field `file` with the image.")
    return Form(files, fields)


def _headers(body: bytes | bytearray, position: int) -> tuple[int, str]:
    """Return (start of the content, name) for the part whose boundary ends at `position`."""
    line_end = body.find(b"\r\n", position, position + 256)
    if line_end < 0 or body[position:line_end].strip(b" \t"):
        raise BodyInvalidError("The form's boundary is malformed.")
    end = body.find(b"\r\n\r\n", line_end, line_end + _MAX_HEADERS)
    if end < 0:
        raise BodyInvalidError("The headers of a part of the form do not end, or are too long.")
    disposition = _DISPOSITION.search(bytes(body[line_end + 2 : end]))
    if disposition is None:
        raise BodyInvalidError("A part of the form has no Content-Disposition: form-data.")
    for key, value in _PARAMETER.findall(disposition[1]):
        if key.lower() == b"name":
            return end + 4, value.strip(b'"').decode("utf-8", "replace")
    raise BodyInvalidError("A part of the form has no name.")
