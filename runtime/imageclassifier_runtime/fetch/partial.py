"""A partially downloaded file, and the state that is needed to resume the download."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import TOO_LARGE, ModelError, error_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAX_ETAG_LENGTH = 1024
_CHUNK = 1024 * 1024


class Partial:
    """The received bytes of a file; `path` is created only once it is complete.

    A download can be resumed, also by a later process, if the server sent a strong entity tag: the tag and the
    total size are stored in a file next to it. Without a tag, a changed file on the server could not be detected.
    """

    def __init__(self, path: Path) -> None:
        self._final = path
        self._bytes = path.with_name(path.name + ".part")
        self._state = path.with_name(path.name + ".part.json")
        self.received = 0
        self.max_received = 0
        self.etag: str | None = None
        self.total: int | None = None
        self.resumed = False
        self._hasher = hashlib.sha256()
        self._load()

    def _load(self) -> None:
        """Load the partial file of an earlier process; it is ignored if its state is invalid."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            state = json.loads(self._state.read_text(encoding="utf-8"))
            etag, total = state["etag"], state["total"]
            if strong(etag) is None or not (total is None or type(total) is int):
                return
            with self._bytes.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    self._hasher.update(chunk)
                    self.received += len(chunk)
            self.etag, self.total, self.max_received = etag, total, self.received

    @property
    def range_headers(self) -> dict[str, str]:
        """Return the headers that request the missing bytes; none for the whole file (RFC 9110, 13.1.5)."""
        if not self.received or self.etag is None:
            return {}
        return {"Range": f"bytes={self.received}-", "If-Range": self.etag}

    def restart(self, *, etag: str | None, total: int | None) -> None:
        """Start again from the first byte; `etag` and `total` are those of the whole file."""
        self.received, self.etag, self.total, self.resumed = 0, strong(etag), total, False
        self._hasher = hashlib.sha256()
        with _disk_errors(self._bytes):
            self._state.unlink(missing_ok=True)
            self._bytes.write_bytes(b"")
            if self.etag is not None:
                self._state.write_text(json.dumps({"etag": self.etag, "total": total}), encoding="utf-8")

    def resume(self, total: int) -> None:
        """Record that the next bytes continue the received ones; `total` is the size of the whole file."""
        self.total, self.resumed = total, True

    def discard_etag(self) -> None:
        """Make the next attempt request the whole file."""
        self.etag = None

    def append(self, chunk: bytes) -> None:
        """Append received bytes."""
        with _disk_errors(self._bytes), self._bytes.open("ab") as file:
            file.write(chunk)
        self._hasher.update(chunk)
        self.received += len(chunk)
        self.max_received = max(self.max_received, self.received)

    def finish(self) -> str:
        """Move the complete file to its path and return its sha256."""
        with _disk_errors(self._bytes):
            self._bytes.replace(self._final)
            self._state.unlink(missing_ok=True)
        return self._hasher.hexdigest()


def strong(etag: str | None) -> str | None:
    """Return the tag if it is a strong entity tag, which differs for different content; else None."""
    if not isinstance(etag, str) or len(etag) > _MAX_ETAG_LENGTH or not (etag.isascii() and etag.isprintable()):
        return None
    return etag if len(etag) > 2 and etag[0] == etag[-1] == '"' else None


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Convert disk errors to ModelError; network errors are OSErrors too, but are handled differently."""
    try:
        yield
    except OSError as error:
        raise ModelError(TOO_LARGE, f"cannot write the model to {path.parent}: {error_text(error)}") from error
