"""The operator's HTTP endpoints: probes for the kubelet, metrics for Prometheus."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable

    from imageclassifier_operator.metrics import Metrics

logger = logging.getLogger(__name__)


def _probes(ready: Callable[[], bool], silent: Callable[[], list[str]]) -> web.Application:
    async def healthz(_: web.Request) -> web.Response:
        parts = silent()
        if not parts:
            return web.Response(text="ok\n")
        logger.error("Liveness probe fails: %s", "; ".join(parts))
        return web.Response(status=503, text="".join(f"{part}\n" for part in parts))

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n") if ready() else web.Response(status=503, text="not ready yet\n")

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    return app


def _metrics(metrics: Metrics) -> web.Application:
    async def expose(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/metrics", expose)
    return app


async def serve_health(
    *,
    host: str,
    probe_port: int,
    metrics_port: int,
    ready: Callable[[], bool],
    silent: Callable[[], list[str]],
    metrics: Metrics,
) -> list[web.AppRunner]:
    """Start both servers, and return their runners, which the caller cleans up at shutdown.

    silent: returns the parts of the process that hang, for which the liveness probe fails.
    """
    runners = []
    for app, port in ((_probes(ready, silent), probe_port), (_metrics(metrics), metrics_port)):
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        runners.append(runner)
    return runners
