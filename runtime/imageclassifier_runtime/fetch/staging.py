"""The folder beside the final files in which a model is put together, and what a later process finds of it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import INVALID, UNREACHABLE, ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_PREFIX = ".fetch-"


@contextlib.contextmanager
def alone(parent: Path) -> Iterator[None]:
    """Hold a model folder for one process at a time; raises ModelError where another one has it."""
    parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ModelError(INVALID, f"another process is fetching into {parent}: wait for its end") from error
        except OSError as error:
            # some network filesystems have no locks; an init container is alone there anyway
            if error.errno not in {errno.ENOLCK, errno.ENOTSUP, errno.EINVAL}:
                raise
        yield
    finally:
        os.close(handle)


def clear(parent: Path, *, keep: Sequence[str] = ()) -> None:
    """Remove what earlier processes left, but for the folders of these sources."""
    kept = {_PREFIX + _key(source) for source in keep}
    for path in parent.glob(f"{_PREFIX}*"):
        if path.name not in kept and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def staging(parent: Path, source: str) -> Iterator[Path]:
    """Yield the folder of one source, on the same filesystem as `parent`, with nothing in it but beginnings.

    Afterwards it is gone, unless the source could not be reached and there is a beginning to go on from.
    """
    path = parent / (_PREFIX + _key(source))
    path.mkdir(mode=0o700, exist_ok=True)
    for file in path.iterdir():
        if not _is_beginning(file):
            file.unlink()
    finished = False
    try:
        yield path
        finished = True
    except ModelError as error:
        finished = error.reason != UNREACHABLE
        raise
    finally:
        if finished or not any(_is_beginning(file) for file in path.iterdir()):
            shutil.rmtree(path, ignore_errors=True)


def empty(path: Path) -> None:
    """Remove all that is in a staging folder."""
    for file in path.iterdir():
        file.unlink()


def _is_beginning(file: Path) -> bool:
    """Tell whether a file is a beginning with its state, or that state."""
    state = file if file.name.endswith(".json") else file.with_name(file.name + ".json")
    return file.name.removesuffix(".json").endswith(".part") and state.exists()


def _key(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:16]
