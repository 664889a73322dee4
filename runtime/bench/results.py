"""The results of a run: plain records, written to and read from `results.json`."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMIT, SERVER, BASELINE = "limit", "server", "baseline"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slice:
    """One target under one load for some seconds. Latencies in milliseconds, only of status 200.

    `cpu_seconds` is the CPU time of the target, `generator_cpu_seconds` that of the load generator.
    """

    target: str
    precision: str
    clients: int
    round: int
    seconds: float
    answers: int
    statuses: dict[str, int]
    p50: float
    p95: float
    p99: float
    cpu_seconds: float
    generator_cpu_seconds: float
    unfinished: int = 0

    @property
    def throughput(self) -> float:
        """Responses with status 200 a second."""
        return self.answers / self.seconds

    @property
    def cpu_per_thousand(self) -> float:
        """CPU seconds of the target per 1,000 responses with status 200; NaN without any."""
        return 1000 * self.cpu_seconds / self.answers if self.answers else math.nan

    @property
    def generator_cpu_per_thousand(self) -> float:
        """CPU seconds of the load generator per 1,000 responses; NaN without any."""
        return 1000 * self.generator_cpu_seconds / self.answers if self.answers else math.nan


@dataclasses.dataclass(frozen=True, kw_only=True)
class Footprint:
    """One server alone: seconds to the first response and of the bare import, memory in bytes after a load."""

    target: str
    precision: str
    starts: list[float]
    imports: list[float]
    pss: int
    rss: int
    answers: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """Memory of one server over many requests: (responses so far, PSS in bytes), the first after a warm-up."""

    precision: str
    points: list[tuple[int, int]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """The number of pictures with the baseline's class, and of all pictures."""

    target: str
    precision: str
    same: int
    pictures: int


@dataclasses.dataclass(kw_only=True)
class Results:
    """All results of one run."""

    facts: dict[str, Any]
    slices: list[Slice] = dataclasses.field(default_factory=list)
    footprints: list[Footprint] = dataclasses.field(default_factory=list)
    curves: list[Curve] = dataclasses.field(default_factory=list)
    agreements: list[Agreement] = dataclasses.field(default_factory=list)
    ceiling: Slice | None = None

    def precisions(self) -> list[str]:
        """The measured precisions of our server, in order."""
        return list(dict.fromkeys(entry.precision for entry in self.slices if entry.target == SERVER))

    def clients(self) -> list[int]:
        """The numbers of clients, ascending."""
        return sorted({entry.clients for entry in self.slices})

    def select(self, target: str, precision: str, clients: int) -> list[Slice]:
        """All slices of one target under one load, by round."""
        selected = (target, precision, clients)
        found = [entry for entry in self.slices if (entry.target, entry.precision, entry.clients) == selected]
        return sorted(found, key=lambda entry: entry.round)

    def by_round(
        self, target: str, precision: str, clients: int, value: Callable[[Slice], float]
    ) -> dict[int, float]:
        """One value of every slice of one target under one load."""
        return {entry.round: value(entry) for entry in self.select(target, precision, clients)}

    def footprint(self, target: str, precision: str) -> Footprint | None:
        """The footprint of one target, if it was measured."""
        found = (e for e in self.footprints if (e.target, e.precision) == (target, precision))
        return next(found, None)

    def write(self, path: Path) -> None:
        """Write everything as JSON; NaN becomes null."""
        path.write_text(json.dumps(_without_nan(dataclasses.asdict(self)), indent=1) + "\n")


def read(path: Path) -> Results:
    """Read a file written by `Results.write`."""
    document = json.loads(path.read_text())
    ceiling = document["ceiling"]
    return Results(
        facts=document["facts"],
        slices=[_slice(entry) for entry in document["slices"]],
        footprints=[Footprint(**entry) for entry in document["footprints"]],
        curves=[
            Curve(precision=entry["precision"], points=[(point[0], point[1]) for point in entry["points"]])
            for entry in document["curves"]
        ],
        agreements=[Agreement(**entry) for entry in document["agreements"]],
        ceiling=_slice(ceiling) if ceiling else None,
    )


def _slice(entry: dict[str, Any]) -> Slice:
    values: dict[str, Any] = {name: math.nan if value is None else value for name, value in entry.items()}
    return Slice(**values)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
