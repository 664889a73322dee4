"""The result of every header parser, and a file object that passes its pieces to a decoder without a copy."""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING, BinaryIO, cast

from imageclassifier_runtime.errors import ImageUndecodableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

Data = bytes | bytearray
# Below this size a plain copy is faster than a file object in Python.
_COPY_LIMIT = 512 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class ImageHeader:
    """The parsed header of an image file.

    `width` and `height` are in stored pixels, before `orientation` (EXIF, 1 to 8) is applied. `pieces` are the
    parts of the file that the decoder needs: metadata is left out, since decoders copy and parse it. `peak` is
    the peak memory of the decoder and the following stages in bytes, without the file itself.
    """

    format: str
    width: int
    height: int
    pieces: tuple[memoryview, ...]
    peak: int
    orientation: int = 1

    @property
    def pixels(self) -> int:
        """Return the number of pixels."""
        return self.width * self.height

    def open_file(self) -> BinaryIO:
        """Return the pieces as one seekable file."""
        if sum(len(piece) for piece in self.pieces) <= _COPY_LIMIT:
            return io.BytesIO(b"".join(self.pieces))
        return cast("BinaryIO", io.BufferedReader(_Pieces(self.pieces), buffer_size=64 * 1024))


class _Pieces(io.RawIOBase):
    """A read-only file over several buffers."""

    def __init__(self, pieces: Sequence[memoryview]) -> None:
        super().__init__()
        self._pieces = [piece for piece in pieces if len(piece)]
        self._size = sum(len(piece) for piece in self._pieces)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Buffer, /) -> int:
        out = memoryview(buffer).cast("B")
        start, done = self._position, 0
        for piece in self._pieces:
            if start >= len(piece):
                start -= len(piece)
                continue
            part = piece[start : start + len(out) - done]
            out[done : done + len(part)] = part
            done += len(part)
            start = 0
            if done == len(out):
                break
        self._position += done
        return done

    def readall(self) -> bytes:
        out = bytearray(max(0, self._size - self._position))
        self.readinto(out)
        return bytes(out)


def truncated(kind: str) -> ImageUndecodableError:
    """Return the error for a file that ends inside its header."""
    return ImageUndecodableError(f"The {kind} file ends inside its header.")


def broken(kind: str, what: str) -> ImageUndecodableError:
    """Return the error for a file with an invalid header."""
    return ImageUndecodableError(f"The {kind} file is broken: {what}.")
