"""The bars that a run must pass, and by how much it missed them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from runtime.bench.results import BASELINE, LIMIT, SERVER
from runtime.bench.statistics import ratios, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runtime.bench.results import Curve, Results, Slice

OF_LIMIT, CPU_OF_LIMIT = 0.85, 1.15
OF_BASELINE = {"FP32": 1.25, "INT8": 2.0}
TAIL = 1.3
# Megabytes of 1,000,000 bytes.
MEMORY_MB = {"FP32": 180.0, "INT8": 130.0}
START_SECONDS = 0.3
CURVE_ANSWERS, CURVE_GROWTH = 100_000, 1.02
_MAIN, _CROWD = (8, 50), 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bar:
    """One comparison; `value` is None if the run did not measure it."""

    text: str
    value: float | None
    bound: float
    at_most: bool
    unit: str = ""

    @property
    def verdict(self) -> str:
        """`held`, `MISSED` or `not judged`."""
        if self.value is None:
            return "not judged"
        held = self.value <= self.bound if self.at_most else self.value >= self.bound
        return "held" if held else "MISSED"

    def line(self) -> str:
        """Return the verdict as one line."""
        required = f"{'at most' if self.at_most else 'at least'} {self.bound:g}{self.unit}"
        if self.value is None:
            return f"{self.verdict:<11} {self.text}: required: {required}"
        by = f", missed by {abs(self.value - self.bound):.3g}{self.unit}" if self.verdict == "MISSED" else ""
        return f"{self.verdict:<11} {self.text}: {self.value:.3g}{self.unit}, required: {required}{by}"


def judge(results: Results) -> list[Bar]:
    """Return every bar, for the requested precisions, by default the measured ones."""
    precisions = results.facts.get("precisions_asked") or results.precisions()
    return [bar for precision in precisions for bar in _of_precision(results, precision)]


def _of_precision(results: Results, precision: str) -> Iterator[Bar]:
    for clients in _MAIN:
        yield from _throughput(results, precision, clients)
    for clients in (50, _CROWD):
        slices = results.select(SERVER, precision, clients)
        yield Bar(
            text=f"{precision}, {clients} clients: p99 / its p50",
            value=_median([entry.p99 / entry.p50 for entry in slices if entry.p50]),
            bound=TAIL,
            at_most=True,
        )
    yield Bar(
        text=f"{precision}, 1 client: p50 / baseline's",
        value=_ratio(results, (SERVER, precision), (BASELINE, "FP32"), 1, lambda entry: entry.p50),
        bound=1.0,
        at_most=True,
    )
    yield from _errors(results, precision)
    yield from _alone(results, precision)


def _throughput(results: Results, precision: str, clients: int) -> Iterator[Bar]:
    server, limit, baseline = (SERVER, precision), (LIMIT, precision), (BASELINE, "FP32")
    where = f"{precision}, {clients} clients"
    yield Bar(
        text=f"{where}: images/s / limit's",
        value=_ratio(results, server, limit, clients, lambda entry: entry.throughput),
        bound=OF_LIMIT,
        at_most=False,
    )
    yield Bar(
        text=f"{where}: CPU per response / limit's",
        value=_ratio(results, server, limit, clients, lambda entry: entry.cpu_per_thousand),
        bound=CPU_OF_LIMIT,
        at_most=True,
    )
    yield Bar(
        text=f"{where}: images/s / baseline's",
        value=_ratio(results, server, baseline, clients, lambda entry: entry.throughput),
        bound=OF_BASELINE[precision],
        at_most=False,
    )


def _errors(results: Results, precision: str) -> Iterator[Bar]:
    for clients in results.clients():
        allowed = {"200", "503"} if clients >= _CROWD else {"200"}
        slices = results.select(SERVER, precision, clients)
        wrong = [
            entry.unfinished + sum(count for status, count in entry.statuses.items() if status not in allowed)
            for entry in slices
        ]
        yield Bar(
            text=f"{precision}, {clients} clients: responses other than {' and '.join(sorted(allowed))}",
            value=float(sum(wrong)) if slices else None,
            bound=0,
            at_most=True,
        )


def _alone(results: Results, precision: str) -> Iterator[Bar]:
    footprint = results.footprint(SERVER, precision)
    above = None
    if footprint is not None:
        above = _median([a - b for a, b in zip(footprint.starts, footprint.imports, strict=True)])
    yield Bar(
        text=f"{precision}: PSS after the load",
        value=footprint.pss / 1e6 if footprint and footprint.answers else None,
        bound=MEMORY_MB[precision],
        at_most=True,
        unit=" MB",
    )
    yield Bar(
        text=f"{precision}: start to first response, minus the bare import",
        value=above,
        bound=START_SECONDS,
        at_most=True,
        unit=" s",
    )
    curve = next((entry for entry in results.curves if entry.precision == precision), None)
    yield Bar(
        text=f"{precision}: PSS at the end / early on, over {CURVE_ANSWERS} responses",
        value=growth(curve) if curve and curve.points[-1][0] >= CURVE_ANSWERS else None,
        bound=CURVE_GROWTH,
        at_most=True,
    )


def growth(curve: Curve) -> float | None:
    """Return the median of the last fifth of the points divided by that of the second; None if too few points."""
    sizes = [size for _, size in curve.points]
    fifth = len(sizes) // 5
    early, late = _median(sizes[fifth : 2 * fifth]), _median(sizes[len(sizes) - fifth :] if fifth else [])
    return late / early if early and late else None


def _ratio(
    results: Results,
    above: tuple[str, str],
    below: tuple[str, str],
    clients: int,
    value: Callable[[Slice], float],
) -> float | None:
    return _median(ratios(results.by_round(*above, clients, value), results.by_round(*below, clients, value)))


def _median(values: Sequence[float]) -> float | None:
    found = spread(values)
    return found.median if found else None
