"""The plan of a run: its options, targets, and the order of its slices."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from runtime.bench.results import BASELINE, LIMIT, SERVER

MAIN_CLIENTS = 50


class Target(NamedTuple):
    """A server, or the in-process limit, with one precision."""

    name: str
    precision: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a run. Times in seconds, without the warm-up; an empty CPU set means all CPUs."""

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
        """Return the estimated duration of the run in seconds."""
        slices = len(self.clients) * self.rounds * (2 * precisions + 1)
        alone = (precisions + 1) * (4 * self.starts + self.memory_seconds)
        curve = precisions * self.memory_curve / 200
        return slices * (self.seconds + self.warmup + 1) + alone + curve + 20


def targets(precisions: tuple[str, ...]) -> list[Target]:
    """Return limit and server in each precision, and the baseline, which is fp32 only."""
    pairs = [Target(name, precision) for precision in precisions for name in (LIMIT, SERVER)]
    return [*pairs, Target(BASELINE, "FP32")]


def order(all_targets: list[Target], number: int) -> list[Target]:
    """Return the order of targets in round `number`: rotated in every round, and reversed in every other one.

    So no target always follows the same other one, and a machine that becomes slower affects all targets equally.
    """
    start = number % len(all_targets)
    rotated = all_targets[start:] + all_targets[:start]
    return rotated[::-1] if number % 2 else rotated
