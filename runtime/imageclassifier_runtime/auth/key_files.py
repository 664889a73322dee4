"""Reads API keys from a file, or from a folder as the kubelet mounts a Secret, and sees when they change.

A state that can be read holds, also when it has fewer keys or none: that is how keys are taken away. A state
that cannot be read (the kubelet is just writing it, or a disk fails) is no state: the last one holds, and it is
tried again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from imageclassifier_runtime.auth.keys import LONGEST, MOST_KEYS, SHORTEST, KeySet, key_set
from imageclassifier_runtime.errors import ApiKeysError
from imageclassifier_runtime.logs import log, warn

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES = 64 * 1024
"""Of one file."""

_MOST_FILES = MOST_KEYS
# Device, inode, size and times of each file: of the one behind a link, so that another target is a change.
_Fingerprint = tuple[tuple[str, int, int, int, int, int], ...]
_logger = logging.getLogger(__name__)


class KeyFiles:
    """The keys of one path. `refresh` may be called from any thread, one at a time."""

    def __init__(self, path: Path) -> None:
        """Read the keys; raises ApiKeysError where there are none, since such a server could let nobody in."""
        self._path = path
        try:
            self._fingerprint = self._look()
            self.keys = self._read()
        except OSError as error:
            raise ApiKeysError(f"the API keys at {path} cannot be read: {_said(error)}") from None
        self._failure = ""
        if not self.keys.entries:
            told = "; ".join(self.keys.problems[:3])
            raise ApiKeysError(
                f"there is no API key at {path}: give it files with one key a line, each of {SHORTEST} to "
                f"{LONGEST} visible ASCII characters{f' ({told})' if told else ''}"
            )
        self._tell()

    def refresh(self) -> None:
        """Take the keys as they are now, if anything about their files has changed."""
        try:
            seen = self._look()
            if seen == self._fingerprint:
                return
            keys = self._read()
        except OSError as error:
            said = _said(error)
            if said != self._failure:
                warn(_logger, "API keys cannot be read; those read last hold", path=str(self._path), error=said)
            self._failure = said
            return
        # Taken before reading: what changes in between is seen as a change the next time.
        self._fingerprint, self._failure = seen, ""
        self.keys = keys
        self._tell()

    def _tell(self) -> None:
        for problem in self.keys.problems:
            warn(_logger, "Not an API key", path=str(self._path), problem=problem)
        if not self.keys.entries:
            warn(_logger, "There are no API keys any more: nobody is let in", path=str(self._path))
        log(_logger, "API keys read", path=str(self._path), names=sorted(self.keys.names)[:100])

    def _files(self) -> list[Path]:
        if not self._path.is_dir():
            return [self._path]
        # Names that begin with two dots are the kubelet's own: the folders behind the links.
        found = sorted(path for path in self._path.iterdir() if not path.name.startswith(".."))
        if len(found) > _MOST_FILES:
            raise OSError(f"more than {_MOST_FILES} files")
        return found

    def _look(self) -> _Fingerprint:
        stats = [(path.name, path.stat()) for path in self._files()]
        return tuple(
            (name, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
            for name, stat in stats
        )

    def _read(self) -> KeySet:
        return key_set([(path.name, _content(path)) for path in self._files() if not path.is_dir()])


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise OSError(f"{path.name} has more than {_MOST_BYTES} bytes")
    return content


def _said(error: OSError) -> str:
    return error.strerror or str(error)
