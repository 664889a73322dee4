"""What a run is made of: its options, and the order of its slices."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from runtime.bench.results import BASELINE, LIMIT, SERVER

MAIN_CLIENTS = 50


class Target(NamedTuple):
    """One of the things that are compared."""

    name: str
    precision: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How to measure. Times in seconds, without the warm-up; empty CPU sets mean all that there are."""

    precisions: tuple[str, ...] = ("FP32", "INT8")
    clients: tuple[int, ...] = (1, 8, 50, 200)
    rounds: int = 7
    seconds: float = 6.0
    warmup: float = 1.0
    starts: int = 5
    form: bool = True
    impatient: bool = False
    baseline_style: str = "best"
    memory_seconds: float = 10.0
    memory_curve: int = 0
    cpus: tuple[int, ...] = ()
    generator_cpus: tuple[int, ...] = ()

    def estimate(self, precisions: int) -> float:
        """Return about how many seconds the run will take."""
        slices = len(self.clients) * self.rounds * (2 * precisions + 1)
        alone = (precisions + 1) * (4 * self.starts + self.memory_seconds)
        curve = precisions * self.memory_curve / 200
        return slices * (self.seconds + self.warmup + 1) + alone + curve + 20


def targets(precisions: tuple[str, ...]) -> list[Target]:
    """Return limit and server in each precision, and the baseline, which is fp32 only."""
    pairs = [Target(name, precision) for precision in precisions for name in (LIMIT, SERVER)]
    return [*pairs, Target(BASELINE, "FP32")]


def order(all_targets: list[Target], number: int) -> list[Target]:
    """Return the order of round `number`: each begins elsewhere, and every other one runs backwards.

    So none always follows the same other, and a machine that slows down slows all of them alike.
    """
    start = number % len(all_targets)
    turned = all_targets[start:] + all_targets[:start]
    return turned[::-1] if number % 2 else turned
