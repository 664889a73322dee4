"""Measures one figure of the README in a running cluster with the operator, for example after the demo."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from e2e import audit
from e2e.install import wait_for_operator
from e2e.kube import open_kube
from e2e.measure.at_rest import SPECS, measure_at_rest, measure_unschedulable
from e2e.measure.first_response import timelines_to_first_response
from e2e.measure.timeline import FIRST_RESPONSE, table
from e2e.target import target_from
from tools.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from e2e.kube import Kube


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one figure and print it; the exit status is 1 if that failed."""
    parser = argparse.ArgumentParser(prog="python -m e2e.measure", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="FIGURE")
    help_text = "seconds from kubectl apply to the first response with status 200"
    first = commands.add_parser("first-response", help=help_text)
    first.add_argument("--runs", type=int, default=5, help="number of objects, one after the other (5)")
    first.set_defaults(run=_first_response)
    rest = commands.add_parser("rest", help="requests to the API server while nothing changes")
    rest.add_argument("--seconds", type=float, default=300, help="how long to count requests (300)")
    rest.add_argument("--objects", type=int, default=len(SPECS), help=f"number of objects ({len(SPECS)})")
    rest.set_defaults(run=_at_rest)
    help_text = "the same while no pod can be scheduled, after the first minute"
    stuck = commands.add_parser("unschedulable", help=help_text)
    stuck.add_argument("--seconds", type=float, default=120, help="how long to count requests (120)")
    stuck.add_argument("--objects", type=int, default=50, help="number of objects (50)")
    stuck.set_defaults(run=_unschedulable)
    options = parser.parse_args(arguments)
    try:
        with open_kube(target_from()) as kube:
            wait_for_operator(kube, seconds=30)
            with _namespace(kube) as namespace:
                options.run(kube, namespace, options)
    except (ToolError, httpx.HTTPError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _first_response(kube: Kube, namespace: str, options: argparse.Namespace) -> None:
    timelines = timelines_to_first_response(kube, namespace=namespace, runs=options.runs)
    durations = [timeline[FIRST_RESPONSE] for timeline in timelines]
    listed = ", ".join(f"{seconds:.1f} s" for seconds in durations)
    print(f"{table(timelines)}\n")
    print(f"from kubectl apply to the first response with status 200: {listed}")
    print(f"median {statistics.median(durations):.1f} s")


def _at_rest(kube: Kube, namespace: str, options: argparse.Namespace) -> None:
    cost = measure_at_rest(
        kube,
        namespace=namespace,
        seconds=options.seconds,
        objects=options.objects,
    )
    print(audit.table(cost.counts))
    print(f"{options.objects} objects at rest, {cost.line()}")


def _unschedulable(kube: Kube, namespace: str, options: argparse.Namespace) -> None:
    cost = measure_unschedulable(kube, namespace=namespace, seconds=options.seconds, objects=options.objects)
    print(audit.table(cost.counts))
    print(f"{options.objects} objects that cannot be scheduled, {cost.line()}")


@contextmanager
def _namespace(kube: Kube) -> Iterator[str]:
    name = f"measure-{int(time.time())}"
    kube.create("namespaces", {"metadata": {"name": name}})
    try:
        yield name
    finally:
        kube.delete("namespaces", name)
