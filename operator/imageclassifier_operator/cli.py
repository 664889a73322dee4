"""The command line: reads settings from flags and environment, and runs the operator, or prints a plan."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import functools
import logging
import os
import re
import signal
import socket
import sys
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast
from urllib.parse import urlsplit

import kopf
from pythonjsonlogger.json import JsonFormatter

from imageclassifier_operator.api import CatalogueError, OperatorConfig, parse_catalogue
from imageclassifier_operator.api.field_types import AUTHORITY, DNS_NAME
from imageclassifier_operator.controller import Controller, Election, Heartbeats, LeaseLostError
from imageclassifier_operator.handlers import register, settings
from imageclassifier_operator.health import serve_health
from imageclassifier_operator.kube import CLASSIFIERS, Cluster, KubeError
from imageclassifier_operator.kube.client import connect
from imageclassifier_operator.log_fields import ReconcileFields
from imageclassifier_operator.metrics import Metrics
from imageclassifier_operator.plan import PlanError, as_json, as_text, exit_status, plan, read_objects

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from imageclassifier_operator.kube.client import KubeClient

ENV_PREFIX = "IMAGECLASSIFIER_OPERATOR_"

DEFAULT_NAMESPACE = "default"
"""The namespace of an object in a file that has none, as for kubectl."""

PULL_POLICIES = ("Always", "IfNotPresent", "Never")

SHUTDOWN_SECONDS = 5.0
"""How long the other parts of the process may take to stop by themselves once one of them has stopped."""

logger = logging.getLogger("imageclassifier_operator")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """The settings that all commands have. If `namespaces` is empty, it means all of them."""

    config: OperatorConfig
    namespaces: tuple[str, ...]
    kubeconfig: str | None
    context: str | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit status.

    `run` returns 0 after a signal, 1 after a failure, 2 if a setting is invalid; `plan` returns 0 if no pod would
    restart, 1 after a failure or if a spec is invalid, 2 if pods would.
    """
    parsed, unknown = _parser().parse_known_args(arguments)
    is_plan = parsed.command == "plan"
    invalid_status = 1 if is_plan else 2
    if unknown:  # argparse would exit with 2, also for plan
        return _fail(f"unknown arguments: {' '.join(unknown)}", status=invalid_status)
    try:
        options = _options(parsed)
        if not is_plan:
            _check_election(parsed.lease, parsed.identity)
    except (CatalogueError, OSError, ValueError) as error:
        return _fail(_text(error), status=invalid_status)
    if is_plan:
        try:
            return asyncio.run(_plan(options, parsed))
        except (KubeError, PlanError, OSError) as error:
            return _fail(_text(error), status=1)
    _configure_json_logging(parsed.log_level.upper())
    try:
        asyncio.run(_run(options, parsed))
    except asyncio.CancelledError:
        return 0
    except LeaseLostError as error:  # the kubelet starts it again, and it waits for the Lease
        logger.error("Operator stopped: %s", error)  # noqa: TRY400  no bug, so no traceback
        return 1
    except Exception:  # log why the process stops; the kubelet restarts it
        logger.exception("Operator stopped because of an unexpected error")
        return 1
    return 0


def _text(error: Exception) -> str:
    """Return what an error says; that of a file with its path, and without its number."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _fail(message: str, *, status: int) -> int:
    sys.stderr.write(f"imageclassifier-operator: {message}\n")
    return status


class _Parser(argparse.ArgumentParser):
    """A parser with its own exit status for wrong arguments: `plan` uses 2 for pods that would restart."""

    usage_status = 2

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(self.usage_status, f"{self.prog}: error: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="imageclassifier-operator",
        description="Reconciles ImageClassifiers: creates and updates the objects that each one asks for.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    epilog = (
        f"Every option with a value is also an environment variable: --runtime-image is {ENV_PREFIX}RUNTIME_IMAGE."
    )
    run = commands.add_parser("run", help="run until a signal", epilog=epilog)
    _add_common_options(run)
    add_option = functools.partial(_add_option, run)
    add_option("--host", "0.0.0.0", "address of the probe and metrics ports")  # noqa: S104  the network of a pod
    add_option("--probe-port", "8081", "port of /healthz and /readyz")
    add_option("--metrics-port", "8080", "port of /metrics")
    add_option("--lease", "", "NAMESPACE/NAME of the Lease that its holder needs to act; empty: acts without")
    add_option("--identity", "", "holder of the Lease, unique among the processes; empty: a random one")
    add_option("--log-level", "INFO", "DEBUG, INFO, WARNING or ERROR")
    plan = commands.add_parser(
        "plan",
        help="print which pods this version and configuration would restart, and why",
        description="Prints which pods an operator of this version and configuration would restart, and why. "
        "It writes nothing. The exit status is 2 if pods would restart, else 1 if a spec is invalid or the "
        "command fails, else 0. Pass the settings of the operator that you mean.",
        epilog=epilog,
    )
    plan.usage_status = 1
    _add_common_options(plan)
    plan.add_argument(
        "-f",
        "--filename",
        action="append",
        default=[],
        type=Path,
        help="file with ImageClassifiers, which count as new without --from-cluster",
    )
    plan.add_argument(
        "--from-cluster",
        action="store_true",
        help="compare the objects of -f with those of the cluster; the default without -f",
    )
    plan.add_argument("--output", choices=["text", "json"], default="text", help="format of the output")
    return parser


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    add_option = functools.partial(_add_option, parser)
    add_option("--runtime-image", "", "image of the model server (required)")
    add_option("--image-pull-policy", "IfNotPresent", "pull policy of that image")
    add_option("--catalogue", "", "YAML file with the models that specs may name (required)")
    add_option("--upgrade-wave-size", "5", "how many objects adopt a changed pod template at the same time")
    add_option("--runtime-https-proxy", "", "HTTPS_PROXY of the servers, and of the step that fetches a model")
    add_option("--runtime-http-proxy", "", "HTTP_PROXY of both")
    add_option("--runtime-no-proxy", "", "NO_PROXY of both")
    add_option("--runtime-ca-config-map", "", "ConfigMap with CA certificates for both, in their namespace")
    add_option("--namespaces", "", "comma-separated; empty watches all namespaces")
    add_option("--kubeconfig", "", "kubeconfig; empty uses the pod's service account")
    add_option("--context", "", "context of the kubeconfig, required with it")


def _options(parsed: argparse.Namespace) -> Options:
    """Return the options that both commands have.

    Raises:
        ValueError: an option is missing or invalid.
        OSError: the catalogue cannot be read.
    """
    for required in ("runtime_image", "catalogue"):
        if not getattr(parsed, required):
            flag = required.replace("_", "-")
            raise ValueError(f"--{flag} is required, or the variable {ENV_PREFIX}{required.upper()}")
    if bool(parsed.kubeconfig) != bool(parsed.context):
        raise ValueError("--kubeconfig and --context must be given together: the current context is never used")
    if parsed.image_pull_policy not in PULL_POLICIES:
        raise ValueError(f"--image-pull-policy must be one of {', '.join(PULL_POLICIES)}")
    config = OperatorConfig(
        runtime_image=parsed.runtime_image,
        image_pull_policy=parsed.image_pull_policy,
        catalogue=parse_catalogue(Path(parsed.catalogue).read_text(encoding="utf-8")),
        upgrade_wave_size=_parse_wave_size(parsed.upgrade_wave_size),
        runtime_https_proxy=_check_proxy("--runtime-https-proxy", parsed.runtime_https_proxy),
        runtime_http_proxy=_check_proxy("--runtime-http-proxy", parsed.runtime_http_proxy),
        runtime_no_proxy=parsed.runtime_no_proxy.strip(),
        runtime_ca_config_map=_check_config_map(parsed.runtime_ca_config_map),
    )
    return Options(
        config=config,
        namespaces=tuple(name.strip() for name in parsed.namespaces.split(",") if name.strip()),
        kubeconfig=parsed.kubeconfig or None,
        context=parsed.context or None,
    )


def _parse_wave_size(text: str) -> int:
    if not text.isdigit():
        raise ValueError(f"--upgrade-wave-size must be a number of objects, 0 for no upgrades, is {text}")
    return int(text)


def _check_proxy(flag: str, url: str) -> str:
    """Return the URL of a proxy, which may be empty; an error does not show it, since it may have a password."""
    if url and not _is_proxy(url):
        raise ValueError(
            f"{flag} must be http(s)://[user:password@]host[:port]; in a password, encode / as %2F and @ as %40"
        )
    return url


def _is_proxy(url: str) -> bool:
    """Return whether both commands of the runtime accept the URL of a proxy."""
    if not re.fullmatch(rf"(https?://)?([^\s/?#@]*@)?{AUTHORITY}/?", url):
        return False
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        return bool(parts.hostname) and parts.port != 0 and url.isascii() and url.isprintable()
    except ValueError:
        return False


def _check_election(lease: str, identity: str) -> None:
    namespace, _, name = lease.partition("/")
    if lease and not (re.fullmatch(DNS_NAME, namespace) and re.fullmatch(DNS_NAME, name)):
        raise ValueError(f"--lease must be NAMESPACE/NAME, is {lease}")
    if not re.fullmatch(r"[\w.:-]*", identity, re.ASCII):
        raise ValueError(f"--identity may have letters, digits and the characters _.:-, is {identity}")


def _check_config_map(name: str) -> str:
    if name and not (len(name) <= 253 and re.fullmatch(DNS_NAME, name)):
        raise ValueError(f"--runtime-ca-config-map must be the name of a ConfigMap, is {name}")
    return name


def _add_option(parser: argparse.ArgumentParser, flag: str, default: str, help_text: str) -> None:
    variable = ENV_PREFIX + flag.removeprefix("--").replace("-", "_").upper()
    parser.add_argument(flag, default=os.environ.get(variable, default), help=help_text)


def _configure_json_logging(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )
    )
    handler.addFilter(ReconcileFields())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for library in ("kopf", "aiohttp"):
        logging.getLogger(library).setLevel(logging.WARNING)


async def _plan(options: Options, parsed: argparse.Namespace) -> int:
    """Print the plan, and return the exit status."""
    objects = read_objects(parsed.filename, namespace=DEFAULT_NAMESPACE) if parsed.filename else None
    async with contextlib.AsyncExitStack() as stack:
        cluster = None
        if objects is None or parsed.from_cluster:
            connecting = await connect(kubeconfig=options.kubeconfig, context=options.context)
            cluster = await stack.enter_async_context(connecting)
        planned = await plan(
            cluster, config=options.config, namespaces=options.namespaces or (None,), objects=objects
        )
    sys.stdout.write(as_json(planned) if parsed.output == "json" else as_text(planned))
    return exit_status(planned)


async def _run(options: Options, parsed: argparse.Namespace) -> None:
    _cancel_at_signals()
    metrics = Metrics()

    def count(method: str, code: str) -> None:
        metrics.api_requests.labels(method=method, code=code).inc()

    heartbeats = Heartbeats()
    identity = parsed.identity or f"{socket.gethostname()}_{uuid.uuid4()}"
    connecting = connect(kubeconfig=options.kubeconfig, context=options.context, identity=identity, count=count)
    async with await connecting as client:
        election = _election(client, parsed.lease, identity, heartbeats)
        cluster = client if election is None else client.fenced(election.write_seconds)
        controller = Controller(
            cluster,
            config=options.config,
            namespaces=options.namespaces or (None,),
            metrics=metrics,
            heartbeats=heartbeats,
        )
        metrics.leader.set_function(lambda: election is None or election.leads)
        runners = await serve_health(
            host=parsed.host,
            probe_port=int(parsed.probe_port),
            metrics_port=int(parsed.metrics_port),
            ready=lambda: controller.ready or (election is not None and election.is_standby),
            silent=heartbeats.silent,
            metrics=metrics,
        )
        try:
            await _wait_for_api(cluster)
            logger.info("Operator %s started", version("imageclassifier"))
            if election is None:
                await _run_until_first_exit(_run_kopf(options, controller, cluster), controller.run())
            else:
                await _lead(election, controller, lambda: _run_kopf(options, controller, cluster))
        finally:
            for runner in runners:
                await runner.cleanup()


def _cancel_at_signals() -> None:
    """Cancel the current task at SIGTERM and SIGINT, until kopf replaces the handlers by its own."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is None:
        raise RuntimeError("called outside of a task")

    def interrupt() -> None:
        loop.remove_signal_handler(signal.SIGINT)  # a second one ends the process at once
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    loop.add_signal_handler(signal.SIGINT, interrupt)


def _election(cluster: KubeClient, lease: str, identity: str, heartbeats: Heartbeats) -> Election | None:
    if not lease:
        return None
    namespace, _, name = lease.partition("/")
    return Election(cluster, namespace=namespace, name=name, identity=identity, heartbeats=heartbeats)


async def _lead(
    election: Election, controller: Controller, run_kopf: Callable[[], Coroutine[None, None, None]]
) -> None:
    """Reconcile while this process holds the Lease. Raises `LeaseLostError` if it loses it."""
    logger.info("Waiting for the Lease, as %s", election.identity)

    async def reconcile() -> None:
        try:
            await controller.run()
        finally:  # nothing is written any more; kopf may take some seconds to stop
            await election.release()

    try:
        await election.acquire()
        logger.info("Lease acquired, this process reconciles")
        await _run_until_first_exit(run_kopf(), reconcile(), election.keep())
    finally:
        await election.release()


async def _wait_for_api(cluster: Cluster) -> None:
    """Wait until the API server serves the CRD, since kopf looks for it only once, at start."""
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
    await _wait_for_api(cluster)  # again, since it may have been long until this process got the Lease
    registry = kopf.OperatorRegistry()
    in_cluster = options.kubeconfig is None
    login = _login_in_cluster if in_cluster else _login
    register(registry, controller, login=functools.partial(login, cluster))
    await kopf.operator(
        registry=registry,
        settings=settings(),
        standalone=True,
        # By default, kopf uses the name of the user, and a container has none. kopf does not export the type.
        identity=cast("Any", f"imageclassifier-operator/{os.getpid()}"),
        clusterwide=not options.namespaces,
        namespaces=options.namespaces,
    )


def _login_in_cluster(cluster: KubeClient, **kwargs: Any) -> kopf.ConnectionInfo | None:
    """Return the current credentials of the pod, with the address that our client uses: it needs no DNS."""
    connection = kopf.login_with_service_account(**kwargs)
    return None if connection is None else dataclasses.replace(connection, server=cluster.configuration.host)


def _login(cluster: KubeClient, **_: object) -> kopf.ConnectionInfo:
    """Return the address and credentials of our client, so that kopf uses the context of `--context` too."""
    configuration = cluster.configuration
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        insecure=not configuration.verify_ssl,
        token=(configuration.api_key.get("BearerToken") or "").removeprefix("Bearer ") or None,
    )


async def _run_until_first_exit(*parts: Coroutine[None, None, None]) -> None:
    """Run the parts until one of them exits, then stop the others. If one fails, raise its error.

    A part can exit without an error because another part is failing. So the others get `SHUTDOWN_SECONDS` to exit
    by themselves, and an error that they raise in this time is raised here.
    """
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, running = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if running and not any(task.exception() for task in done):
            done |= (await asyncio.wait(running, timeout=SHUTDOWN_SECONDS))[0]
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
