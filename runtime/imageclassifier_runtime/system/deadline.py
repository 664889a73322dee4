"""Cuts a connection at a moment, whatever its other side does.

A peer that drips single bytes never meets the socket's own timeout.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def cut_at(raw: socket.socket, deadline: float) -> Iterator[None]:
    """Shut `raw` down at `deadline` (`time.monotonic()` seconds) unless the block has ended by then.

    It is done through a handle of its own, because TLS takes the socket over and leaves the first one empty.
    """
    handle = raw.dup()
    cutter = threading.Timer(max(0.0, deadline - time.monotonic()), _cut, (handle,))
    cutter.daemon = True
    cutter.start()
    try:
        yield
    finally:
        cutter.cancel()
        handle.close()


def _cut(handle: socket.socket) -> None:
    with contextlib.suppress(OSError):
        handle.shutdown(socket.SHUT_RDWR)
