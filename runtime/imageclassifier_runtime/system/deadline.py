"""Shuts a connection down at a deadline, regardless of what the peer does.

A peer that sends single bytes slowly never triggers the socket's timeout.
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
    """Shut `raw` down at `deadline` (`time.monotonic()` seconds) unless the block has finished by then.

    A duplicate of the socket is used, because TLS detaches the original one.
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
