"""Copies files from mounted folders: `file:///path` in allowed folders, `pvc://claim/path` in a claim.

Files are copied and then checked like downloads, so that the served model does not change with the mounted files.
"""

from __future__ import annotations

import os
import re
import stat
import time
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import (
    ACCESS_DENIED,
    ADDRESS_REFUSED,
    NOT_FOUND,
    TOO_LARGE,
    UNREACHABLE,
    ModelError,
    error_text,
)
from imageclassifier_runtime.fetch.download import too_large
from imageclassifier_runtime.fetch.progress import Progress
from imageclassifier_runtime.settings.urls import shown

if TYPE_CHECKING:
    from io import FileIO

    from imageclassifier_runtime.settings.commands import FetchSettings

_CHUNK = 1024 * 1024
_CLAIM = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def root_and_path(uri: str, settings: FetchSettings) -> tuple[Path, Path]:
    """Return the allowed folder that contains a URI's path, and the path; raises ModelError."""
    scheme, _, rest = uri.partition("://")
    authority, slash, path = rest.partition("/")
    try:
        path = urllib.parse.unquote(path, errors="strict")
    except UnicodeDecodeError as error:
        raise ModelError(NOT_FOUND, f"{shown(uri)} is not valid: {error}") from error
    if "\0" in path:
        raise ModelError(NOT_FOUND, f"{shown(uri)} is not valid: it contains a NUL character")
    if scheme == "pvc":
        if not _CLAIM.fullmatch(authority) or len(authority) > 253:
            raise ModelError(NOT_FOUND, f"{shown(uri)} is not valid: write pvc://claim/path")
        root = settings.volumes_dir / authority
        if not root.is_dir():
            raise ModelError(NOT_FOUND, f"the claim {authority} is not mounted at {root}")
        return root, root / path
    if authority not in {"", "localhost"} or not slash:
        raise ModelError(NOT_FOUND, f"{shown(uri)} is not valid: write file:///path")
    absolute = Path("/" + path)
    for root in settings.file_roots:
        if absolute.is_relative_to(root):
            return root, absolute
    allowed = ", ".join(str(root) for root in settings.file_roots) or "none"
    raise ModelError(
        ADDRESS_REFUSED, f"{shown(uri)} is not in an allowed folder (IMAGECLASSIFIER_FILE_ROOTS: {allowed})"
    )


def copy(root: Path, path: Path, to: Path, *, limit: int, deadline: float) -> None:
    """Copy one regular file that is inside `root`, symbolic links resolved; raises ModelError.

    `limit` is in bytes, `deadline` in `time.monotonic()` seconds.
    """
    try:
        base, real = root.resolve(strict=True), path.resolve()
        # checked before the file is opened, so that errors reveal nothing about files outside
        if not real.is_relative_to(base):
            raise ModelError(ADDRESS_REFUSED, f"{path} is outside {root}")
        # does not follow a link that has replaced the file since then, and does not block on a pipe
        source = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        text = f"{path} is not readable for user {os.getuid()} or group {os.getgid()}"
        raise ModelError(ACCESS_DENIED, text) from error
    except FileNotFoundError as error:
        raise ModelError(NOT_FOUND, f"{path} does not exist{_siblings(path)}") from error
    except (OSError, RuntimeError) as error:
        raise ModelError(NOT_FOUND, f"{path} cannot be opened: {error_text(error)}") from error
    status = os.fstat(source)
    if not stat.S_ISREG(status.st_mode):
        os.close(source)
        is_folder = stat.S_ISDIR(status.st_mode)
        raise ModelError(
            NOT_FOUND, f"{path} is {'a folder: end its URI with a slash' if is_folder else 'not a regular file'}"
        )
    with os.fdopen(source, "rb", buffering=0) as file:
        _copy(file, path, to, total=status.st_size, limit=limit, deadline=deadline)


def _copy(file: FileIO, path: Path, to: Path, *, total: int, limit: int, deadline: float) -> None:
    received, progress = 0, Progress(str(path))
    try:
        out = to.open("wb")
    except OSError as error:
        raise _write_error(to, error) from error
    with out:
        while chunk := _read(file, path):
            received += len(chunk)
            if received > limit:
                raise too_large(str(path), max(total, received), limit)
            if time.monotonic() >= deadline:
                raise ModelError(UNREACHABLE, f"{path}: timed out after {received} of {total} bytes")
            try:
                out.write(chunk)
            except OSError as error:
                raise _write_error(to, error) from error
            progress.at(received, total)
    progress.done(received)


def _read(file: FileIO, path: Path) -> bytes:
    try:
        return file.read(_CHUNK)
    except OSError as error:
        raise ModelError(UNREACHABLE, f"{path} cannot be read: {error_text(error)}") from error


def _write_error(to: Path, error: OSError) -> ModelError:
    return ModelError(TOO_LARGE, f"cannot write the model to {to.parent}: {error_text(error)}")


def _siblings(path: Path) -> str:
    """Return a list of the files that exist in the folder of a missing file, for the error message."""
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return ""
    return f"; its folder contains {', '.join(names[:10]) or 'nothing'}{' …' if len(names) > 10 else ''}"
