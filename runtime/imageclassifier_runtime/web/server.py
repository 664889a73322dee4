"""The process around the application: sockets, bounds on connections, and an orderly end.

uvicorn closes its listeners the moment a SIGTERM comes, while Kubernetes still sends new connections for some
seconds. Here the signal only starts the drain; uvicorn's own shutdown comes after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING

import uvicorn

from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.logs import log
from imageclassifier_runtime.settings.commands import ALL_ADDRESSES
from imageclassifier_runtime.web.connection import bounded_protocol, give_up_unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

    from imageclassifier_runtime.protocols.state import ServerState
    from imageclassifier_runtime.settings.commands import ServeSettings

# What the kernel keeps per connection before we read it; it counts towards the container's memory.
_RECEIVE_BUFFER = 128 * 1024
_BACKLOG = 1024
# Objects, and collections of the younger generation, after which each generation is looked through.
_COLLECT_AT = (10_000, 20, 20)
_logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn's server, with our own answer to signals."""

    def __init__(self, config: uvicorn.Config, state: ServerState) -> None:
        super().__init__(config)
        self._lifecycle = state.lifecycle
        self._drain_seconds = state.settings.drain_seconds
        self._cache = state.cache
        self._signals = 0
        self._ending: asyncio.TimerHandle | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGTERM and SIGINT on the loop for as long as the server runs."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that requests are taken once they are, and signals with them."""
        await super().startup(sockets)
        self._lifecycle.ready = True
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        log(_logger, "Serving", url=_url(host, port), port=port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let Redis have the results of the last requests, unless the end is to be now."""
        await super().shutdown(sockets)
        give_up_unread(list(self.server_state.connections))
        if self._cache is not None and not self.force_exit:
            await self._cache.close()

    def _on_signal(self, number: signal.Signals) -> None:
        """First SIGTERM: drain. SIGINT, or a second signal: finish what is in flight. A third: stop now."""
        self._signals += 1
        self._lifecycle.draining = True
        loop = asyncio.get_running_loop()
        if number == signal.SIGTERM and self._signals == 1:
            log(_logger, "Draining", signal=number.name, seconds=self._drain_seconds)
            self._ending = loop.call_later(self._drain_seconds, self._end)
        else:
            log(_logger, "Ending the drain", signal=number.name)
            if self._ending is not None:
                self._ending.cancel()
            self.force_exit = self.should_exit
            self._end()

    def _end(self) -> None:
        self._lifecycle.stopping = True
        self.should_exit = True


def listen(settings: ServeSettings) -> socket.socket:
    """Return a listening socket, for `*` on all addresses of both families; raises SettingsError."""
    try:
        return _listen(settings)
    except (OSError, UnicodeError) as error:
        raise SettingsError(_cause(error, settings)) from error


def _listen(settings: ServeSettings) -> socket.socket:
    if settings.host != ALL_ADDRESSES:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        return _bound(family, (settings.host, settings.port))
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):
            return _bound(socket.AF_INET6, ("::", settings.port), dualstack=True)
    return _bound(socket.AF_INET, ("0.0.0.0", settings.port))  # noqa: S104 - a pod serves its pod address


def _cause(error: Exception, settings: ServeSettings) -> str:
    where = f"port {settings.port}" + ("" if settings.host == ALL_ADDRESSES else f" of {settings.host}")
    match getattr(error, "errno", None):
        case errno.EADDRINUSE:
            return f"{where} is taken by another program: choose another one with --port (0 picks a free one)"
        case errno.EACCES:
            return f"{where} may not be used by this user: choose one from 1024 on with --port"
        case errno.EADDRNOTAVAIL:
            return f"{settings.host} is no address of this machine: give one of its own with --host, or * for all"
        case _:
            return f"cannot listen on {where}: {getattr(error, 'strerror', None) or error}; see --host and --port"


def _url(host: str, port: int) -> str:
    """Return an address of the socket that a browser on this machine can open."""
    name = "localhost" if host in {"::", "0.0.0.0"} else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"http://{name}:{port}/"


def _bound(family: socket.AddressFamily, address: tuple[str, int], *, dualstack: bool = False) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        if dualstack:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(address)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _spare_collector() -> None:
    """Let Python's collector leave alone what lives as long as the server, and come less often.

    Requests leave hardly any cycles, and a pass over the objects of all packages takes as long as an image.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AT)


def _give_way() -> None:
    """Let this thread, when it wakes up, not push a worker off its CPU in the middle of an image.

    It gets its turn within milliseconds, and deals then with all that has come; on a CPU that is free it runs at
    once. Pushing cost each image a twentieth of its CPU time in cold caches.
    """
    with contextlib.suppress(OSError, AttributeError):  # a sandbox may refuse it, and only Linux has it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def run(app: ASGIApp, state: ServerState) -> None:
    """Serve until a signal ends it."""
    settings = state.settings
    rejected = state.metrics.rejected
    sock = listen(settings)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=bounded_protocol(settings, lambda reason: rejected.labels(reason).inc()),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=int(settings.finish_seconds),
    )
    server = Server(config, state)
    _spare_collector()
    if not settings.cache.on:  # with it the workers give way: a hit is not to wait for the images of others
        _give_way()
    server.run(sockets=[sock])
    log(_logger, "Stopped")
