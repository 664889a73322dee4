"""The staging folder in which a model is assembled, and the partial downloads that a later process can resume."""

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
def exclusive(parent: Path) -> Iterator[None]:
    """Lock a model folder for this process; raises ModelError if another process holds the lock."""
    parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            text = f"another process is fetching into {parent}: wait until it is done"
            raise ModelError(INVALID, text) from error
        except OSError as error:
            # some network filesystems have no locks; an init container is the only process there anyway
            if error.errno not in {errno.ENOLCK, errno.ENOTSUP, errno.EINVAL}:
                raise
        yield
    finally:
        os.close(handle)


def remove_leftovers(parent: Path, *, keep: Sequence[str] = ()) -> None:
    """Remove the staging folders of earlier processes, except those of the sources in `keep`."""
    kept = {_PREFIX + _key(source) for source in keep}
    for path in parent.glob(f"{_PREFIX}*"):
        if path.name not in kept and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def staging_folder(parent: Path, source: str) -> Iterator[Path]:
    """Yield the staging folder of a source in `parent`; it contains only partial downloads of earlier processes.

    Afterwards the folder is removed, unless the source was unreachable and a partial download can be resumed.
    """
    path = parent / (_PREFIX + _key(source))
    path.mkdir(mode=0o700, exist_ok=True)
    for file in path.iterdir():
        if not _is_partial(file):
            file.unlink()
    finished = False
    try:
        yield path
        finished = True
    except ModelError as error:
        finished = error.reason != UNREACHABLE
        raise
    finally:
        if finished or not any(_is_partial(file) for file in path.iterdir()):
            shutil.rmtree(path, ignore_errors=True)


def empty(path: Path) -> None:
    """Remove all files of a staging folder."""
    for file in path.iterdir():
        file.unlink()


def _is_partial(file: Path) -> bool:
    """Return whether a file is a partial download that has a state file, or that state file."""
    state = file if file.name.endswith(".json") else file.with_name(file.name + ".json")
    return file.name.removesuffix(".json").endswith(".part") and state.exists()


def _key(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:16]
