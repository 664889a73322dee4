"""A file as far as it has come: what is there, what it is the beginning of, and how to go on with it."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import TOO_LARGE, ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LONGEST_ETAG = 1024
_CHUNK = 1024 * 1024


class Partial:
    """The bytes of one file on their way to `path`, which exists only once they are all there.

    A beginning that carries a strong entity tag can be continued, also by a later process: tag and total are kept
    beside it. Without one nothing says that the rest still belongs to it.
    """

    def __init__(self, path: Path) -> None:
        self._final = path
        self._bytes = path.with_name(path.name + ".part")
        self._state = path.with_name(path.name + ".part.json")
        self.received = 0
        self.most = 0
        self.etag: str | None = None
        self.total: int | None = None
        self.spliced = False
        self._hasher = hashlib.sha256()
        self._load()

    def _load(self) -> None:
        """Take over what an earlier process left; anything odd about it is as good as nothing."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            state = json.loads(self._state.read_text(encoding="utf-8"))
            etag, total = state["etag"], state["total"]
            if strong(etag) is None or not (total is None or type(total) is int):
                return
            with self._bytes.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    self._hasher.update(chunk)
                    self.received += len(chunk)
            self.etag, self.total, self.most = etag, total, self.received

    @property
    def continuation(self) -> dict[str, str]:
        """Return the headers that ask for the rest; none where it has to be the whole (RFC 9110, 13.1.5)."""
        if not self.received or self.etag is None:
            return {}
        return {"Range": f"bytes={self.received}-", "If-Range": self.etag}

    def restart(self, *, etag: str | None, total: int | None) -> None:
        """Begin anew, with what the server says of the whole."""
        self.received, self.etag, self.total, self.spliced = 0, strong(etag), total, False
        self._hasher = hashlib.sha256()
        with _disk(self._bytes):
            self._state.unlink(missing_ok=True)
            self._bytes.write_bytes(b"")
            if self.etag is not None:
                self._state.write_text(json.dumps({"etag": self.etag, "total": total}), encoding="utf-8")

    def continued(self, total: int) -> None:
        """Note that what comes next follows on what is here; `total` is the size of the whole."""
        self.total, self.spliced = total, True

    def forget(self) -> None:
        """Have the next attempt ask for the whole file."""
        self.etag = None

    def append(self, chunk: bytes) -> None:
        """Add what came."""
        with _disk(self._bytes), self._bytes.open("ab") as file:
            file.write(chunk)
        self._hasher.update(chunk)
        self.received += len(chunk)
        self.most = max(self.most, self.received)

    def finish(self) -> str:
        """Give the file its name and return its sha256."""
        with _disk(self._bytes):
            self._bytes.replace(self._final)
            self._state.unlink(missing_ok=True)
        return self._hasher.hexdigest()


def strong(etag: str | None) -> str | None:
    """Return an entity tag that two equal files have and two different ones never, None for any other text."""
    if not isinstance(etag, str) or len(etag) > _LONGEST_ETAG or not (etag.isascii() and etag.isprintable()):
        return None
    return etag if len(etag) > 2 and etag[0] == etag[-1] == '"' else None


@contextlib.contextmanager
def _disk(path: Path) -> Iterator[None]:
    """The disk's failures are told apart from the network's, which are OSErrors too."""
    try:
        yield
    except OSError as error:
        raise ModelError(TOO_LARGE, f"cannot write the model to {path.parent}: {error}") from error
