"""Files of mounted folders: `file:///path` inside those that are allowed, `pvc://claim/path` inside the claim.

They are copied and then checked like any download, so that what is served cannot change behind the server's back.
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
    """Return the allowed folder that a URI is in, and the path that it names; raises ModelError."""
    scheme, _, rest = uri.partition("://")
    authority, slash, path = rest.partition("/")
    try:
        path = urllib.parse.unquote(path, errors="strict")
    except UnicodeDecodeError as error:
        raise ModelError(NOT_FOUND, f"{shown(uri)} is not valid: {error}") from error
    if "\0" in path:
        raise ModelError(NOT_FOUND, f"{shown(uri)} is not valid: a path holds no NUL")
    if scheme == "pvc":
        if not _CLAIM.fullmatch(authority) or len(authority) > 253:
            raise ModelError(NOT_FOUND, f"{shown(uri)} names no claim: write pvc://claim/path")
        root = settings.volumes_dir / authority
        if not root.is_dir():
            raise ModelError(NOT_FOUND, f"the claim {authority} is not mounted at {root}")
        return root, root / path
    if authority not in {"", "localhost"} or not slash:
        raise ModelError(NOT_FOUND, f"{shown(uri)} is not valid: write file:///path")
    whole = Path("/" + path)
    for root in settings.file_roots:
        if whole.is_relative_to(root):
            return root, whole
    allowed = ", ".join(str(root) for root in settings.file_roots) or "none"
    raise ModelError(
        ADDRESS_REFUSED, f"{shown(uri)} is in no allowed folder (IMAGECLASSIFIER_FILE_ROOTS: {allowed})"
    )


def copy(root: Path, path: Path, to: Path, *, limit: int, deadline: float) -> None:
    """Copy one regular file that lies inside `root`, symbolic links resolved; raises ModelError.

    `limit` is in bytes, `deadline` in `time.monotonic()` seconds.
    """
    try:
        base, real = root.resolve(strict=True), path.resolve()
        # judged before anything is opened, so that nothing is told of what lies outside
        if not real.is_relative_to(base):
            raise ModelError(ADDRESS_REFUSED, f"{path} leads out of {root}")
        # neither a link that was put there meanwhile is followed, nor a pipe waited for
        source = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        text = f"{path} may not be read by the user {os.getuid()} or the group {os.getgid()}"
        raise ModelError(ACCESS_DENIED, text) from error
    except FileNotFoundError as error:
        raise ModelError(NOT_FOUND, f"{path} does not exist{_beside(path)}") from error
    except (OSError, RuntimeError) as error:
        raise ModelError(NOT_FOUND, f"{path} cannot be opened: {error}") from error
    facts = os.fstat(source)
    if not stat.S_ISREG(facts.st_mode):
        os.close(source)
        is_folder = stat.S_ISDIR(facts.st_mode)
        raise ModelError(
            NOT_FOUND, f"{path} is {'a folder: end its URI with a slash' if is_folder else 'no regular file'}"
        )
    with os.fdopen(source, "rb", buffering=0) as file:
        _copy(file, path, to, total=facts.st_size, limit=limit, deadline=deadline)


def _copy(file: FileIO, path: Path, to: Path, *, total: int, limit: int, deadline: float) -> None:
    received, progress = 0, Progress(str(path))
    try:
        out = to.open("wb")
    except OSError as error:
        raise _full(to, error) from error
    with out:
        while chunk := _read(file, path):
            received += len(chunk)
            if received > limit:
                raise too_large(str(path), max(total, received), limit)
            if time.monotonic() >= deadline:
                raise ModelError(UNREACHABLE, f"{path}: out of time after {received} of {total} bytes")
            try:
                out.write(chunk)
            except OSError as error:
                raise _full(to, error) from error
            progress.at(received, total)
    progress.done(received)


def _read(file: FileIO, path: Path) -> bytes:
    try:
        return file.read(_CHUNK)
    except OSError as error:
        raise ModelError(UNREACHABLE, f"{path} cannot be read: {error}") from error


def _full(to: Path, error: OSError) -> ModelError:
    return ModelError(TOO_LARGE, f"cannot write the model to {to.parent}: {error}")


def _beside(path: Path) -> str:
    """Return what a person would look for next: the names in the folder where the file was not."""
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return ""
    return f"; its folder has {', '.join(names[:10]) or 'nothing'}{' …' if len(names) > 10 else ''}"
