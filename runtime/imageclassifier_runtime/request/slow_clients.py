"""How quickly a client sends what the server waits for, and which connection has to go when there are too many.

A slow client is welcome as long as it is in nobody's way. What it must not have is what others then lack: a
connection when there are no more, or room for a body of which nothing comes.
"""

from __future__ import annotations

import fcntl
import heapq
import select
import struct
import termios
from typing import TYPE_CHECKING, Protocol

from uvicorn.protocols.http.flow_control import FlowControl

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

GRACE_SECONDS = 2.0
SLOWEST = 16 * 1024
"""Bytes a second, after the grace, from those who are in others' way."""

HAS_COME = "imageclassifier.has_come"
"""In an ASGI scope: a function that says whether so many bytes of the body are here, read or not."""

TAKE_WHOLE = "imageclassifier.take_whole"
"""In an ASGI scope: a function that returns the whole body, where all of it is here and none was read, or None."""

_SHARE = 32
# Poll tells of errors and resets unasked. That the other end is closed only Linux tells.
_GONE = getattr(select, "POLLRDHUP", 0)


class PacedFlow(FlowControl):
    """uvicorn's flow control, which also knows since when the client is waited for, and what came since."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(transport)
        self._loop = loop
        self.wanted_at: float | None = None
        self.came = 0

    def pause_reading(self) -> None:
        """Stop reading; it is not the client's turn any more."""
        super().pause_reading()
        self.wanted_at = None

    def resume_reading(self) -> None:
        """Go on reading."""
        if self.read_paused:
            self.want()
        super().resume_reading()

    def want(self) -> None:
        """Note that it is the client's turn."""
        if self.wanted_at is None:
            self.wanted_at, self.came = self._loop.time(), 0

    def waiting(self) -> int:
        """Return the bytes that have come and were not read yet."""
        socket = self._transport.get_extra_info("socket")
        if socket is None or self._transport.is_closing():
            return 0
        return int(struct.unpack("i", fcntl.ioctl(socket.fileno(), termios.FIONREAD, bytes(4)))[0])

    def has_gone(self) -> bool:
        """Return whether the client sends no more, or is not there: unseen otherwise while nothing is read."""
        socket = self._transport.get_extra_info("socket")
        if socket is None or self._transport.is_closing():
            return True
        poll = select.poll()
        poll.register(socket.fileno(), _GONE)
        return bool(poll.poll(0))


def is_slow(came: int, seconds: float) -> bool:
    """Return whether a client that sent `came` bytes in this time is too slow for others to wait for."""
    return seconds > GRACE_SECONDS and came < SLOWEST * seconds


class Connection(Protocol):
    """What is asked of a connection here."""

    def waits_since(self, now: float) -> float | None:
        """Return since when it has its client's turn in vain, None where it has not."""

    def drop(self) -> None:
        """End it."""


def make_room(connections: Iterable[Connection], most: int, now: float) -> int:
    """End the connections that wait longest for their clients, some at once; returns how many.

    Those that are answered, or whose bodies come quickly enough, are left alone.
    """
    waiting = [(since, id(it), it) for it in connections if (since := it.waits_since(now)) is not None]
    chosen = heapq.nsmallest(max(1, most // _SHARE), waiting)
    for _, _, connection in chosen:
        connection.drop()
    return len(chosen)
