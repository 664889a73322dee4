"""Runs the application: sockets, limits on connections, and graceful shutdown.

uvicorn closes its listeners as soon as it receives SIGTERM, while Kubernetes still sends new connections for some
seconds. Here the signal only starts the drain; uvicorn's own shutdown follows.
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

from imageclassifier_runtime.errors import SettingsError, error_text
from imageclassifier_runtime.logs import log
from imageclassifier_runtime.settings.commands import ALL_ADDRESSES
from imageclassifier_runtime.web.connection import abort_blocked_writes, bounded_protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

    from imageclassifier_runtime.protocols.state import ServerState
    from imageclassifier_runtime.settings.commands import ServeSettings

# The kernel's receive buffer per connection; it counts towards the container's memory.
_RECEIVE_BUFFER = 128 * 1024
_BACKLOG = 1024
# Thresholds of gc.set_threshold: objects, then collections of the younger generation.
_GC_THRESHOLDS = (10_000, 20, 20)
_logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn's server with its own signal handling."""

    def __init__(self, config: uvicorn.Config, state: ServerState) -> None:
        super().__init__(config)
        self._lifecycle = state.lifecycle
        self._drain_seconds = state.settings.drain_seconds
        self._cache = state.cache
        self._signals = 0
        self._drain_timer: asyncio.TimerHandle | None = None

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
        """Report readiness once requests and signals are handled."""
        await super().startup(sockets)
        self._lifecycle.ready = True
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        log(_logger, "Serving", url=_url(host, port), port=port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Flush the results of the last requests to Redis, unless the shutdown is forced."""
        await super().shutdown(sockets)
        abort_blocked_writes(list(self.server_state.connections))
        if self._cache is not None and not self.force_exit:
            await self._cache.close()

    def _on_signal(self, number: signal.Signals) -> None:
        """First SIGTERM: drain. SIGINT, or a second signal: finish requests in flight. A third: stop now."""
        self._signals += 1
        self._lifecycle.draining = True
        loop = asyncio.get_running_loop()
        if number == signal.SIGTERM and self._signals == 1:
            log(_logger, "Draining", signal=number.name, seconds=self._drain_seconds)
            self._drain_timer = loop.call_later(self._drain_seconds, self._stop)
        else:
            log(_logger, "Ending the drain", signal=number.name)
            if self._drain_timer is not None:
                self._drain_timer.cancel()
            self.force_exit = self.should_exit
            self._stop()

    def _stop(self) -> None:
        self._lifecycle.stopping = True
        self.should_exit = True


def listen(settings: ServeSettings) -> socket.socket:
    """Return a listening socket, for `*` on all addresses of both families; raises SettingsError."""
    try:
        return _listen(settings)
    except (OSError, UnicodeError) as error:
        raise SettingsError(_listen_problem(error, settings)) from error


def _listen(settings: ServeSettings) -> socket.socket:
    if settings.host != ALL_ADDRESSES:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        return _bound(family, (settings.host, settings.port))
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):
            return _bound(socket.AF_INET6, ("::", settings.port), dualstack=True)
    return _bound(socket.AF_INET, ("0.0.0.0", settings.port))  # noqa: S104 - a pod serves its pod address


def _listen_problem(error: Exception, settings: ServeSettings) -> str:
    where = f"port {settings.port}" + ("" if settings.host == ALL_ADDRESSES else f" on {settings.host}")
    match getattr(error, "errno", None):
        case errno.EADDRINUSE:
            return f"{where} is already in use: choose another port with --port (0 picks a free one)"
        case errno.EACCES:
            return f"permission denied for {where}: choose a port from 1024 with --port"
        case errno.EADDRNOTAVAIL:
            return f"{settings.host} is not an address of this machine: set another --host, or * for all"
        case _:
            return f"cannot listen on {where}: {error_text(error)}; see --host and --port"


def _url(host: str, port: int) -> str:
    """Return the URL at which a browser on this machine reaches the socket."""
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


def _tune_garbage_collector() -> None:
    """Exclude long-lived objects from garbage collection, and collect less often.

    Requests leave hardly any cycles, and a collection over all packages' objects takes as long as an image.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def _yield_to_workers() -> None:
    """Stop this thread from preempting a worker in the middle of an image when it wakes up.

    It is scheduled within milliseconds and then handles all pending events; on a free CPU it runs immediately.
    Preemption cost each image 5 % of its CPU time in cold caches.
    """
    with contextlib.suppress(OSError, AttributeError):  # Linux only, and a sandbox may deny it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def run(app: ASGIApp, state: ServerState) -> None:
    """Serve until a signal stops the server."""
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
    _tune_garbage_collector()
    if not settings.cache.on:  # with a cache the workers yield instead: a hit must not wait for other images
        _yield_to_workers()
    server.run(sockets=[sock])
    log(_logger, "Stopped")
