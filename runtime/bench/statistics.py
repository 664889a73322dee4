"""Percentiles of one slice, and median and range over slices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Spread(NamedTuple):
    """The median over slices, and the least and the most."""

    median: float
    low: float
    high: float


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of values in rising order; NaN of none.

    The nearest rank is a value that was measured: at least `percent` per cent of all are at most as large.
    """
    if not ordered:
        return math.nan
    rank = max(1, math.ceil(percent / 100 * len(ordered)))
    return ordered[rank - 1]


def spread(values: Sequence[float]) -> Spread | None:
    """Return median and range, or None of no values; values that are not numbers are left out."""
    ordered = sorted(value for value in values if not math.isnan(value))
    if not ordered:
        return None
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Spread(median, ordered[0], ordered[-1])


def ratios(above: dict[int, float], below: dict[int, float]) -> list[float]:
    """Divide round by round: what ran beside each other is compared, whatever else the machine did then."""
    return [above[number] / below[number] for number in sorted(above) if below.get(number)]
