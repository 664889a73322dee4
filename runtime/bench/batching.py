"""Measures whether batching improves throughput: several batch sizes in alternating slices, and a verdict."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from runtime.bench import procfs, servers
from runtime.bench.plan import Target
from runtime.bench.results import Footprint
from runtime.bench.statistics import Spread, ratios, spread
from runtime.bench.table import aligned
from tools.steps import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.bench.measure import Bench
    from runtime.bench.results import Results, Slice

_HEAD = (
    "clients",
    "batch size",
    "images/s",
    "x size 1",
    "p50 ms",
    "p99 ms",
    "p50 x size 1",
    "CPU s/1000",
    "PSS MB",
)
# The minimum gain in images a second, in every round.
_GAIN = 1.03
# The maximum increase of p50 with the fewest clients.
_WAIT = 1.05


def sizes_of(requested: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sizes to compare: the requested ones and 1, the reference of all ratios."""
    return tuple(sorted({1, *requested}))


def run(bench: Bench, sizes: tuple[int, ...]) -> None:
    """Fill the bench's results with a slice of each size under each load, round after round; raises BenchError."""
    targets = [Target(name(size), precision) for precision in bench.workload.precisions for size in sizes]
    with ExitStack() as stack:
        running = {}
        for target in targets:
            kind = servers.ours(bench.workload, target.precision, {"MAX_BATCH_SIZE": target.name.split()[1]})
            running[target] = stack.enter_context(servers.Server(kind, bench.logs))
        bench.alternate(targets, running)
        bench.results.footprints += [_footprint(target, running[target].pid) for target in targets]
    say("all servers ran at the same time: their PSS divides the pages that they share")


def name(size: int) -> str:
    """Return the target name of this size in the results."""
    return f"batch {size}"


def render(results: Results, sizes: tuple[int, ...]) -> str:
    """Return the table and the verdict of every precision."""
    facts = results.facts
    parts = [f"{facts['workload']}\n{facts['machine']}; {facts['how']}"]
    for precision in facts["precisions"]:
        rows: list[tuple[str, ...]] = [_HEAD]
        for clients in results.clients():
            rows += [_row(results, precision, clients, size) for size in sizes]
        parts += [f"{precision}\n{aligned(rows)}", verdict(results, precision, sizes)]
    return "\n\n".join(parts)


def verdict(results: Results, precision: str, sizes: tuple[int, ...]) -> str:
    """Return the recommended size in words: 1, unless a larger one gains in every round without added latency.

    Of sizes within the noise of the best, the smallest is recommended, because a batch takes memory.
    """
    clients = results.clients()
    most, fewest = clients[-1], clients[0]
    gains: dict[int, Spread] = {}
    for size in sizes[1:]:
        gain = _over(results, precision, most, size, lambda entry: entry.throughput)
        wait = _over(results, precision, fewest, size, lambda entry: entry.p50)
        if gain is not None and gain.low >= _GAIN and wait is not None and wait.median <= _WAIT:
            gains[size] = gain
    if not gains:
        return (
            f"{precision}: no batch size gains {_GAIN - 1:.0%} at {most} clients in every round and keeps p50 at "
            f"{fewest} within {_WAIT - 1:.0%}: leave batching off (a size of 1)."
        )
    best = max(gain.median for gain in gains.values())
    size = min(size for size, gain in gains.items() if gain.high >= best)
    return (
        f"{precision}: a batch size of {size} gains: {gains[size].median:.2f} ({gains[size].low:.2f}-"
        f"{gains[size].high:.2f}) times the images/s of size 1 at {most} clients."
    )


def _over(
    results: Results, precision: str, clients: int, size: int, value: Callable[[Slice], float]
) -> Spread | None:
    mine = results.by_round(name(size), precision, clients, value)
    return spread(ratios(mine, results.by_round(name(1), precision, clients, value)))


def _row(results: Results, precision: str, clients: int, size: int) -> tuple[str, ...]:
    slices = results.select(name(size), precision, clients)
    footprint = results.footprint(name(size), precision)

    def of(value: Callable[[Slice], float], form: str) -> str:
        return _text(spread([value(entry) for entry in slices]), form)

    return (
        str(clients),
        str(size),
        of(lambda entry: entry.throughput, ".1f"),
        _text(_over(results, precision, clients, size, lambda entry: entry.throughput), ".2f"),
        of(lambda entry: entry.p50, ".1f"),
        of(lambda entry: entry.p99, ".1f"),
        _text(_over(results, precision, clients, size, lambda entry: entry.p50), ".2f"),
        of(lambda entry: entry.cpu_per_thousand, ".2f"),
        "-" if footprint is None else f"{footprint.pss / 1e6:.0f}",
    )


def _text(found: Spread | None, form: str) -> str:
    return "-" if found is None else f"{found.median:{form}} ({found.low:{form}}-{found.high:{form}})"


def _footprint(target: Target, pid: int) -> Footprint:
    memory = procfs.memory(pid)
    return Footprint(
        target=target.name,
        precision=target.precision,
        starts=[],
        imports=[],
        pss=memory.pss,
        rss=memory.rss,
        answers=0,
    )
