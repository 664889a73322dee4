"""Reads API keys from a file, or from a folder as the kubelet mounts a Secret, and detects changes.

Files that can be read apply, even with fewer keys or none: that is how keys are revoked. If they cannot be read
(the kubelet is writing them, or a disk fails), the previous keys stay valid and reading is retried.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from imageclassifier_runtime.auth.keys import MAX_KEYS, MAX_LENGTH, MIN_LENGTH, KeySet, key_set
from imageclassifier_runtime.errors import ApiKeysError, error_text
from imageclassifier_runtime.logs import log, warn

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES = 64 * 1024
"""Limit of one file."""

_MAX_FILES = MAX_KEYS
# Device, inode, size and times of each file, symbolic links resolved, so that another target is a change.
_Fingerprint = tuple[tuple[str, int, int, int, int, int], ...]
_logger = logging.getLogger(__name__)


class KeyFiles:
    """The keys of one path. `refresh` may be called from any thread, one at a time."""

    def __init__(self, path: Path) -> None:
        """Read the keys; raises ApiKeysError if there are none, since such a server would reject all requests."""
        self._path = path
        try:
            self._fingerprint = self._stat_files()
            self.keys = self._read()
        except OSError as error:
            raise ApiKeysError(f"the API keys at {path} cannot be read: {error_text(error)}") from None
        self._failure = ""
        if not self.keys.entries:
            problems = "; ".join(self.keys.problems[:3])
            raise ApiKeysError(
                f"there is no API key at {path}: give it files with one key a line, each of {MIN_LENGTH} to "
                f"{MAX_LENGTH} visible ASCII characters{f' ({problems})' if problems else ''}"
            )
        self._log_keys()

    def refresh(self) -> None:
        """Read the keys again if their files have changed."""
        try:
            seen = self._stat_files()
            if seen == self._fingerprint:
                return
            keys = self._read()
        except OSError as error:
            problem = error_text(error)
            if problem != self._failure:
                warn(
                    _logger,
                    "API keys cannot be read; keeping the previous keys",
                    path=str(self._path),
                    error=problem,
                )
            self._failure = problem
            return
        # Taken before reading, so that a change in between is detected the next time.
        self._fingerprint, self._failure = seen, ""
        self.keys = keys
        self._log_keys()

    def _log_keys(self) -> None:
        for problem in self.keys.problems:
            warn(_logger, "Invalid API key", path=str(self._path), problem=problem)
        if not self.keys.entries:
            warn(_logger, "No API keys left; all requests will be rejected", path=str(self._path))
        log(_logger, "API keys read", path=str(self._path), names=sorted(self.keys.names)[:100])

    def _files(self) -> list[Path]:
        if not self._path.is_dir():
            return [self._path]
        # Names that start with two dots are the kubelet's: the folders behind the links.
        files = sorted(path for path in self._path.iterdir() if not path.name.startswith(".."))
        if len(files) > _MAX_FILES:
            raise OSError(f"more than {_MAX_FILES} files")
        return files

    def _stat_files(self) -> _Fingerprint:
        stats = [(path.name, path.stat()) for path in self._files()]
        return tuple(
            (name, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
            for name, stat in stats
        )

    def _read(self) -> KeySet:
        return key_set([(path.name, _content(path)) for path in self._files() if not path.is_dir()])


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise OSError(f"{path.name} has more than {_MAX_BYTES} bytes")
    return content
