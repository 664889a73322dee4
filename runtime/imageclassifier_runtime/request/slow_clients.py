"""Measures how fast clients send, and chooses the connections to close when there are too many.

A slow client is tolerated as long as no other client needs what it occupies: a connection when the limit is
reached, or memory for a body that does not arrive.
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
MIN_BYTES_PER_SECOND = 16 * 1024
"""Minimum rate after the grace period, while other requests wait."""

HAS_ARRIVED = "imageclassifier.has_arrived"
"""In an ASGI scope: a function that returns whether N bytes of the body have arrived, read or not."""

TAKE_COMPLETE_BODY = "imageclassifier.take_complete_body"
"""In an ASGI scope: a function that returns the body if all of it has arrived and none was read, else None."""

_CLOSE_FRACTION = 32
# poll() always reports errors and resets; a closed peer is reported on Linux only, as POLLRDHUP.
_PEER_CLOSED = getattr(select, "POLLRDHUP", 0)


class PacedFlow(FlowControl):
    """uvicorn's flow control, which also tracks since when the server waits for the client, and what arrived."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(transport)
        self._loop = loop
        self.waiting_for_client_since: float | None = None
        self.received = 0

    def pause_reading(self) -> None:
        """Stop reading; the server no longer waits for the client."""
        super().pause_reading()
        self.waiting_for_client_since = None

    def resume_reading(self) -> None:
        """Resume reading."""
        if self.read_paused:
            self.start_waiting()
        super().resume_reading()

    def start_waiting(self) -> None:
        """Start waiting for the client."""
        if self.waiting_for_client_since is None:
            self.waiting_for_client_since, self.received = self._loop.time(), 0

    def unread_bytes(self) -> int:
        """Return how many bytes have arrived and were not read yet."""
        socket = self._transport.get_extra_info("socket")
        if socket is None or self._transport.is_closing():
            return 0
        return int(struct.unpack("i", fcntl.ioctl(socket.fileno(), termios.FIONREAD, bytes(4)))[0])

    def is_closed_by_client(self) -> bool:
        """Return whether the client has closed its side, which goes unnoticed while reading is paused."""
        socket = self._transport.get_extra_info("socket")
        if socket is None or self._transport.is_closing():
            return True
        poll = select.poll()
        poll.register(socket.fileno(), _PEER_CLOSED)
        return bool(poll.poll(0))


def is_slow(received: int, seconds: float) -> bool:
    """Return whether a client that sent `received` bytes in this time is below the minimum rate."""
    return seconds > GRACE_SECONDS and received < MIN_BYTES_PER_SECOND * seconds


class Connection(Protocol):
    """The interface of a connection that may be closed."""

    def waiting_since(self, now: float) -> float | None:
        """Return since when it waits for its client, None if it does not."""

    def drop(self) -> None:
        """Close it."""


def close_longest_waiting(connections: Iterable[Connection], max_connections: int, now: float) -> int:
    """Close the connections that have waited longest for their clients, several at a time; returns their number.

    Connections with a request being handled, or whose body arrives fast enough, are left alone.
    """
    waiting = [(since, id(it), it) for it in connections if (since := it.waiting_since(now)) is not None]
    chosen = heapq.nsmallest(max(1, max_connections // _CLOSE_FRACTION), waiting)
    for _, _, connection in chosen:
        connection.drop()
    return len(chosen)
