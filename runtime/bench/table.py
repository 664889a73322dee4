"""The results as aligned text."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from runtime.bench.results import BASELINE, LIMIT, SERVER
from runtime.bench.statistics import ratios, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.bench.results import Results, Slice

_HEAD = (
    *("clients", "target", "images/s", "of limit", "x baseline", "p50 ms", "p95 ms", "p99 ms", "p99/p50"),
    *("CPU s/1000", "generator", "not 200"),
)
_NONE = "-"


def render(results: Results) -> str:
    """Return all tables; medians over slices, for rates and ratios with the range (all values: results.json)."""
    facts = results.facts
    parts = [f"{facts['workload']}\n{facts['machine']}; {facts['how']}"]
    if results.slices:
        parts.append(aligned([_HEAD, *_rows(results)]))
    if results.footprints:
        parts.append(
            aligned([("alone", "first response s", "bare import s", "PSS MB", "RSS MB"), *_alone(results)])
        )
    parts += _notes(results)
    return "\n\n".join(parts)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return aligned columns, the first two left, numbers right, with a line below the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _rows(results: Results) -> list[tuple[str, ...]]:
    rows = []
    for clients in results.clients():
        pairs = [(name, precision) for precision in results.precisions() for name in (LIMIT, SERVER)]
        for name, precision in (*pairs, (BASELINE, "FP32")):
            slices = results.select(name, precision, clients)
            if slices:
                rows.append(_row(results, name, precision, clients, slices))
    return rows


def _row(results: Results, name: str, precision: str, clients: int, slices: list[Slice]) -> tuple[str, ...]:
    def over(target: str, of: str) -> str:
        def rate(entry: Slice) -> float:
            return entry.throughput

        mine = results.by_round(name, precision, clients, rate)
        return _spread(ratios(mine, results.by_round(target, of, clients, rate)), ".2f")

    def of(value: Callable[[Slice], float], form: str) -> str:
        found = spread([value(entry) for entry in slices])
        return _NONE if found is None else format(found.median, form)

    other: Counter[str] = Counter()
    for entry in slices:
        other.update({status: count for status, count in entry.statuses.items() if status != "200"})
        other.update({"unfinished": entry.unfinished} if entry.unfinished else {})
    return (
        str(clients),
        f"{name} {precision.lower()}",
        _spread([entry.throughput for entry in slices], ".1f"),
        _NONE if name == LIMIT else over(LIMIT, precision),
        over(BASELINE, "FP32") if name == SERVER else _NONE,
        of(lambda entry: entry.p50, ".1f"),
        of(lambda entry: entry.p95, ".1f"),
        of(lambda entry: entry.p99, ".1f"),
        of(lambda entry: entry.p99 / entry.p50 if entry.p50 else float("nan"), ".2f"),
        of(lambda entry: entry.cpu_per_thousand, ".2f"),
        _NONE if name == LIMIT else of(lambda entry: entry.generator_cpu_per_thousand, ".2f"),
        ", ".join(f"{count} x {status}" for status, count in sorted(other.items())) or "0",
    )


def _alone(results: Results) -> list[tuple[str, ...]]:
    return [
        (
            f"{entry.target} {entry.precision.lower()}",
            _spread(entry.starts, ".2f"),
            _spread(entry.imports, ".2f"),
            f"{entry.pss / 1e6:.0f}",
            f"{entry.rss / 1e6:.0f}",
        )
        for entry in results.footprints
    ]


def _notes(results: Results) -> list[str]:
    notes = []
    if results.ceiling is not None:
        notes.append(
            f"Load generator: {results.ceiling.throughput:.0f} requests/s to a null server, at "
            f"{results.ceiling.generator_cpu_per_thousand:.3f} CPU s per 1,000."
        )
    for entry in results.agreements:
        name = f"{entry.target} {entry.precision.lower()}"
        notes.append(f"{name}: {entry.same} of {entry.pictures} pictures have the baseline's class.")
    for curve in results.curves:
        sizes = [size / 1e6 for _, size in curve.points]
        notes.append(
            f"Memory {curve.precision.lower()} over {curve.points[-1][0]} responses: {sizes[0]:.1f} MB at first, "
            f"{sizes[-1]:.1f} MB at last, {max(sizes):.1f} MB at most."
        )
    return ["\n".join(notes)] if notes else []


def _spread(values: Sequence[float], form: str) -> str:
    found = spread(values)
    if found is None:
        return _NONE
    if len(values) == 1:
        return format(found.median, form)
    return f"{found.median:{form}} ({found.low:{form}}-{found.high:{form}})"
