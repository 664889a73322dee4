"""The command line: reads settings from flags and environment, and runs until a signal or a failure."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import functools
import logging
import os
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import kopf
from pythonjsonlogger.json import JsonFormatter

from imageclassifier_operator.api import CatalogueError, OperatorConfig, parse_catalogue
from imageclassifier_operator.controller import Controller
from imageclassifier_operator.handlers import register, settings
from imageclassifier_operator.health import serve_health
from imageclassifier_operator.kube import CLASSIFIERS, Cluster, KubeError
from imageclassifier_operator.kube.client import connect
from imageclassifier_operator.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from imageclassifier_operator.kube.client import KubeClient

PREFIX = "IMAGECLASSIFIER_OPERATOR_"

PULL_POLICIES = ("Always", "IfNotPresent", "Never")

SHUTDOWN_SECONDS = 5.0
"""How long a part may take to stop after another one has stopped."""

logger = logging.getLogger("imageclassifier_operator")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """The settings from the command line and the environment; empty `namespaces` means all namespaces."""

    config: OperatorConfig
    namespaces: tuple[str, ...]
    kubeconfig: str | None
    context: str | None
    host: str
    probe_port: int
    metrics_port: int
    log_level: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the operator; return 0 after a signal, 1 after a failure, 2 if a setting is invalid."""
    try:
        options = _options(arguments)
    except (CatalogueError, OSError, ValueError) as error:
        sys.stderr.write(f"imageclassifier-operator: {error}\n")
        return 2
    _log_json(options.log_level)
    try:
        asyncio.run(_run(options))
    except asyncio.CancelledError:
        return 0
    except Exception:  # log why the process stops; the kubelet restarts it
        logger.exception("Operator stopped because of an unexpected error")
        return 1
    return 0


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(
        prog="imageclassifier-operator",
        description="Reconciles ImageClassifiers: creates and updates the objects that each one asks for.",
        epilog=f"Every option is also an environment variable: --runtime-image is {PREFIX}RUNTIME_IMAGE.",
    )
    parser.add_argument("command", choices=["run"], help="run until a signal")
    add = functools.partial(_add, parser)
    add("--runtime-image", "", "image of the model server (required)")
    add("--image-pull-policy", "IfNotPresent", "pull policy of that image")
    add("--catalogue", "", "YAML file with the models that specs may name (required)")
    add("--namespaces", "", "comma-separated; empty watches all namespaces")
    add("--kubeconfig", "", "kubeconfig; empty uses the pod's service account")
    add("--context", "", "context of the kubeconfig, required with it")
    add("--host", "0.0.0.0", "address of the probe and metrics ports")  # noqa: S104  the network of a pod
    add("--probe-port", "8081", "port of /healthz and /readyz")
    add("--metrics-port", "8080", "port of /metrics")
    add("--log-level", "INFO", "DEBUG, INFO, WARNING or ERROR")
    parsed = parser.parse_args(arguments)
    for required in ("runtime_image", "catalogue"):
        if not getattr(parsed, required):
            flag = required.replace("_", "-")
            raise ValueError(f"--{flag} is required, or the variable {PREFIX}{required.upper()}")
    if bool(parsed.kubeconfig) != bool(parsed.context):
        raise ValueError("--kubeconfig and --context must be given together: the current context is never used")
    if parsed.image_pull_policy not in PULL_POLICIES:
        raise ValueError(f"--image-pull-policy must be one of {', '.join(PULL_POLICIES)}")
    config = OperatorConfig(
        runtime_image=parsed.runtime_image,
        image_pull_policy=parsed.image_pull_policy,
        catalogue=parse_catalogue(Path(parsed.catalogue).read_text(encoding="utf-8")),
    )
    return Options(
        config=config,
        namespaces=tuple(name.strip() for name in parsed.namespaces.split(",") if name.strip()),
        kubeconfig=parsed.kubeconfig or None,
        context=parsed.context or None,
        host=parsed.host,
        probe_port=int(parsed.probe_port),
        metrics_port=int(parsed.metrics_port),
        log_level=parsed.log_level.upper(),
    )


def _add(parser: argparse.ArgumentParser, flag: str, default: str, text: str) -> None:
    variable = PREFIX + flag.removeprefix("--").replace("-", "_").upper()
    parser.add_argument(flag, default=os.environ.get(variable, default), help=text)


def _log_json(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("kopf", "aiohttp"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


async def _run(options: Options) -> None:
    if (this := asyncio.current_task()) is not None:  # until kopf installs its own handler
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    metrics = Metrics()
    async with await connect(kubeconfig=options.kubeconfig, context=options.context) as cluster:
        controller = Controller(
            cluster, config=options.config, namespaces=options.namespaces or (None,), metrics=metrics
        )
        runners = await serve_health(
            host=options.host,
            probe_port=options.probe_port,
            metrics_port=options.metrics_port,
            ready=lambda: controller.ready,
            metrics=metrics,
        )
        try:
            await _wait_for_api(cluster)
            logger.info("Operator %s started", version("imageclassifier"))
            await _run_until_first_exit(_run_kopf(options, controller, cluster), controller.run())
        finally:
            for runner in runners:
                await runner.cleanup()


async def _wait_for_api(cluster: Cluster) -> None:
    """Wait until the CRD is served: kopf looks for it only once."""
    while True:
        try:
            if await cluster.serves(CLASSIFIERS):
                return
            logger.warning("CRD is not installed (kubectl apply -k crds), retrying")
        except KubeError as error:
            logger.warning("API server unreachable, retrying: %s", error.message)
        await asyncio.sleep(2.0)


async def _run_kopf(options: Options, controller: Controller, cluster: KubeClient) -> None:
    """Run kopf, which stops at SIGTERM or SIGINT."""
    registry = kopf.OperatorRegistry()
    in_cluster = options.kubeconfig is None
    login = _login_in_cluster if in_cluster else _login
    register(registry, controller, login=functools.partial(login, cluster))
    await kopf.operator(
        registry=registry,
        settings=settings(),
        standalone=True,
        # by default kopf looks up the user's name, which a container lacks; the type is not exported
        identity=cast("Any", f"imageclassifier-operator/{os.getpid()}"),
        clusterwide=not options.namespaces,
        namespaces=options.namespaces,
    )


def _login_in_cluster(cluster: KubeClient, **known: Any) -> kopf.ConnectionInfo | None:
    """Return the current token of the pod, and the address that our client uses, which needs no DNS."""
    found = kopf.login_with_service_account(**known)
    return None if found is None else dataclasses.replace(found, server=cluster.configuration.host)


def _login(cluster: KubeClient, **_: object) -> kopf.ConnectionInfo:
    """Return the connection of our own client: that of the named context, and no other."""
    ours = cluster.configuration
    return kopf.ConnectionInfo(
        server=ours.host,
        ca_path=ours.ssl_ca_cert,
        certificate_path=ours.cert_file,
        private_key_path=ours.key_file,
        insecure=not ours.verify_ssl,
        token=(ours.api_key.get("BearerToken") or "").removeprefix("Bearer ") or None,
    )


async def _run_until_first_exit(*parts: Coroutine[None, None, None]) -> None:
    """Run the parts until one of them exits, then stop the others; an error of any is raised.

    A part that exits without an error may do so because another one is failing: that one gets time to raise.
    """
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if rest and not any(task.exception() for task in done):
            done |= (await asyncio.wait(rest, timeout=SHUTDOWN_SECONDS))[0]
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
