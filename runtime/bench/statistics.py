"""Percentiles of one slice, and median and range over slices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Spread(NamedTuple):
    """Median, minimum and maximum over slices."""

    median: float
    low: float
    high: float


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of ascending values; NaN if there are none.

    The nearest rank is a value that was measured: at least `percent` per cent of all are at most as large.
    """
    if not ordered:
        return math.nan
    rank = max(1, math.ceil(percent / 100 * len(ordered)))
    return ordered[rank - 1]


def spread(values: Sequence[float]) -> Spread | None:
    """Return median and range, or None without values; NaN values are ignored."""
    ordered = sorted(value for value in values if not math.isnan(value))
    if not ordered:
        return None
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Spread(median, ordered[0], ordered[-1])


def ratios(above: dict[int, float], below: dict[int, float]) -> list[float]:
    """Divide the values of each round, so that other load on the machine affects both."""
    return [above[number] / below[number] for number in sorted(above) if below.get(number)]
