"""Compares this checkout's server with the one of another checkout, in alternating slices, and judges the ratios.

Both serve the same model folder to the same load generator within the same seconds, so a machine that becomes
slower affects both equally. This finds a regression of a few per cent that two runs in sequence cannot.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.bench import servers
from runtime.bench.errors import BenchError
from runtime.bench.measure import SERVER_IMPORTS, import_seconds
from runtime.bench.plan import Target, order
from runtime.bench.results import Footprint
from runtime.bench.statistics import Spread, ratios, spread
from runtime.bench.table import aligned
from tools.steps import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.bench.measure import Bench
    from runtime.bench.results import Results, Slice

THIS, OTHER = "this", "other"
# What the median ratio of this checkout to the other one may be worse by.
_TOLERANCE = 0.03
_WORSE = "WORSE"
_HEAD = ("clients", "precision", "images/s this", "other", "ratio", "p50 ratio", "CPU/image ratio", "verdict")
_ALONE = ("alone", "precision", "start s this", "other", "ratio", "PSS MB this", "other", "ratio", "verdict")


def checkout(given: Path) -> Path:
    """Return the absolute folder of another checkout; raises BenchError if `make setup` has not run in it."""
    folder = given.resolve()
    if not (folder / ".venv" / "bin" / "imageclassifier").is_file():
        raise BenchError(f"{given} has no .venv/bin/imageclassifier: run `make setup` in that checkout")
    return folder


def run(bench: Bench, other: Path) -> None:
    """Fill the bench's results with starts, memory and slices of both servers; raises BenchError."""
    for precision in bench.workload.precisions:
        _alone(bench, precision, other)
    _slices(bench, other)


def _kind(bench: Bench, target: Target, other: Path) -> servers.Kind:
    kind = servers.ours(bench.workload, target.precision)
    if target.name == THIS:
        return kind
    program = str(_programs(target, other) / "imageclassifier")
    return dataclasses.replace(kind, name=f"{kind.name} {OTHER}", command=(program, *kind.command[1:]))


def _programs(target: Target, other: Path) -> Path:
    return other / ".venv" / "bin" if target.name == OTHER else Path(sys.executable).parent


def _alone(bench: Bench, precision: str, other: Path) -> None:
    """Start both servers in turn, each start alone, and read each one's memory after a load."""
    picture = min(bench.workload.pictures.glob("*.jpg")).read_bytes()
    pair = [Target(THIS, precision), Target(OTHER, precision)]
    found = {
        target: Footprint(target=target.name, precision=precision, starts=[], imports=[], pss=0, rss=0, answers=0)
        for target in pair
    }
    for attempt in range(bench.options.starts + 1):
        for target in order(pair, attempt):
            entry = found[target]
            seconds = import_seconds(SERVER_IMPORTS, _programs(target, other) / "python")
            with servers.Server(_kind(bench, target, other), bench.logs) as server:
                server.classify(picture)
                start = time.perf_counter() - server.started_at
                if attempt == 0:  # fills the page cache
                    continue
                entry.starts.append(start)
                entry.imports.append(seconds)
                if attempt == bench.options.starts:
                    load, memory = bench.memory_after_load(server)
                    found[target] = dataclasses.replace(
                        entry, pss=memory.pss, rss=memory.rss, answers=load.answers
                    )
    bench.results.footprints += found.values()
    for entry in found.values():
        say(f"{entry.target} {precision} alone: {min(entry.starts):.2f} s, {entry.pss / 1e6:.0f} MB PSS")


def _slices(bench: Bench, other: Path) -> None:
    targets = [Target(name, precision) for precision in bench.workload.precisions for name in (THIS, OTHER)]
    with ExitStack() as stack:
        running = {
            target: stack.enter_context(servers.Server(_kind(bench, target, other), bench.logs))
            for target in targets
        }
        bench.alternate(targets, running)


def render(results: Results) -> str:
    """Return both tables; ratios are medians over the rounds, with their range."""
    facts = results.facts
    return "\n\n".join(
        [
            f"{facts['workload']}\n{facts['machine']}; {facts['how']}",
            aligned([_HEAD, *_rows(results)]),
            aligned([_ALONE, *_alone_rows(results)]),
            f"Ratios are this checkout to the other one; worse by more than {_TOLERANCE:.0%} is WORSE.",
        ]
    )


def worse(results: Results) -> int:
    """Return how many rows are worse than the tolerance."""
    return sum(row[-1] == _WORSE for row in (*_rows(results), *_alone_rows(results)))


def _rows(results: Results) -> list[tuple[str, ...]]:
    precisions = results.facts["precisions"]
    return [_row(results, clients, precision) for clients in results.clients() for precision in precisions]


def _alone_rows(results: Results) -> list[tuple[str, ...]]:
    return [_alone_row(results, precision) for precision in results.facts["precisions"]]


def _row(results: Results, clients: int, precision: str) -> tuple[str, ...]:
    def over(value: Callable[[Slice], float]) -> Spread | None:
        mine = results.by_round(THIS, precision, clients, value)
        return spread(ratios(mine, results.by_round(OTHER, precision, clients, value)))

    def rate(name: str) -> str:
        found = spread([entry.throughput for entry in results.select(name, precision, clients)])
        return "-" if found is None else f"{found.median:.1f}"

    speed = over(lambda entry: entry.throughput)
    held = speed is not None and speed.median >= 1 - _TOLERANCE
    return (
        str(clients),
        precision,
        rate(THIS),
        rate(OTHER),
        _text(speed),
        _text(over(lambda entry: entry.p50)),
        _text(over(lambda entry: entry.cpu_per_thousand)),
        "held" if held else _WORSE,
    )


def _alone_row(results: Results, precision: str) -> tuple[str, ...]:
    mine, other = results.footprint(THIS, precision), results.footprint(OTHER, precision)
    if mine is None or other is None:
        raise BenchError(f"no footprint of {precision}")
    start, memory = min(mine.starts) / min(other.starts), mine.pss / other.pss
    return (
        "server",
        precision,
        f"{min(mine.starts):.2f}",
        f"{min(other.starts):.2f}",
        f"{start:.3f}",
        f"{mine.pss / 1e6:.1f}",
        f"{other.pss / 1e6:.1f}",
        f"{memory:.3f}",
        "held" if max(start, memory) <= 1 + _TOLERANCE else _WORSE,
    )


def _text(found: Spread | None) -> str:
    return "-" if found is None else f"{found.median:.3f} ({found.low:.2f}-{found.high:.2f})"
