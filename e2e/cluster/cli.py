"""The local cluster's command line."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from e2e.cluster import leftovers, programs
from e2e.cluster.cluster import COMPONENTS, Cluster
from e2e.cluster.errors import ClusterError
from tools.errors import ToolError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is 1 if it failed or the cluster is not up."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(Cluster(), options) or 0)
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"error: {error}; the local cluster needs root", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run the same command again to continue", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m e2e.cluster", description="A real Kubernetes on this machine")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="build the programs, including the oldest supported version's")
    build.set_defaults(run=_build)
    up = commands.add_parser("up", help="start the components that are not running")
    up.set_defaults(run=lambda cluster, _: cluster.up())
    down = commands.add_parser("down", help="stop it and revert every change to the machine")
    down.set_defaults(run=lambda cluster, _: cluster.down())
    status = commands.add_parser("status", help="show which components run, or what a stopped cluster left behind")
    status.set_defaults(run=_status)
    load = commands.add_parser("load-image", help="import docker-archives into the node")
    load.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE")
    load.set_defaults(run=_load)
    kubeconfig = commands.add_parser("kubeconfig", help="print the path of the kubeconfig")
    kubeconfig.set_defaults(run=lambda cluster, _: print(cluster.kubeconfig))
    logs = commands.add_parser("logs", help="print a component's log")
    logs.add_argument("component", choices=[*COMPONENTS, "audit"])
    logs.add_argument("-f", "--follow", action="store_true", help="keep printing new lines")
    logs.add_argument("-n", "--lines", type=int, default=200, help="number of last lines (200)")
    logs.set_defaults(run=_logs)
    return parser


def _status(cluster: Cluster, _: argparse.Namespace) -> int:
    if not cluster.state.exists():
        left = leftovers.find(cluster.state)
        print("\n".join(["down", *(f"  left behind: {item}" for item in left)]))
        return 1
    for name in COMPONENTS:
        record = cluster.processes.record(name)
        alive = cluster.processes.alive(name)
        state = f"running (pid {record.pid})" if record and alive else "not running"
        print(f"{name:24} {state}")
    up = cluster.is_up()
    print("up" if up else "partly up: `up` starts the stopped components, `down` removes everything")
    return 0 if up else 1


def _build(_: Cluster, __: argparse.Namespace) -> None:
    programs.ensure(*programs.CLUSTER, programs.OLDEST)
    programs.delete_build_cache()


def _load(cluster: Cluster, options: argparse.Namespace) -> None:
    for archive in options.archives:
        cluster.load(archive)


def _logs(cluster: Cluster, options: argparse.Namespace) -> int:
    path = cluster.state / "logs" / f"{options.component}.log"
    if not path.exists():
        raise ClusterError(f"no log at {path}; is the cluster up?")
    follow = ["--follow"] if options.follow else []
    return subprocess.run(["tail", f"--lines={options.lines}", *follow, str(path)], check=False).returncode
