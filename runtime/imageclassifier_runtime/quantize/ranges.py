"""From the histogram of a tensor's values to the range that 256 levels are to cover. Pure functions on arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

BINS = 4096
MIN_MAX, ENTROPY, LEAST_SQUARES = "min-max", "entropy", "least squares"
PERCENTILES = ("percentile 99.9", "percentile 99.99", "percentile 99.999")
METHODS = (MIN_MAX, *PERCENTILES, ENTROPY, LEAST_SQUARES)
_LEVELS = 256
_STEPS = 64
_FLOOR = 1e-10


class Range(NamedTuple):
    """What is covered, zero always with it; values beyond are clipped."""

    low: float
    high: float


class Histogram(NamedTuple):
    """How often values fell into each of BINS equal bins from `low` to `high`."""

    low: float
    high: float
    counts: npt.NDArray[np.int64]

    def centres(self) -> npt.NDArray[np.float64]:
        """Return the middle of each bin [BINS]."""
        width = (self.high - self.low) / BINS
        return self.low + width * np.arange(0.5, BINS, dtype=np.float64)


def find(histogram: Histogram, method: str) -> Range:
    """Return the range of one tensor by one of METHODS."""
    if histogram.high <= histogram.low or method == MIN_MAX:
        return _with_zero(histogram.low, histogram.high)
    if method == ENTROPY:
        return _entropy(histogram)
    if method == LEAST_SQUARES:
        return _least_squares(histogram)
    return _percentile(histogram, float(method.removeprefix("percentile ")))


def _with_zero(low: float, high: float) -> Range:
    return Range(min(low, 0.0), max(high, 0.0))


def _percentile(histogram: Histogram, percent: float) -> Range:
    """Return the range that holds `percent` of the values, as many being cut off at each end."""
    share = np.cumsum(histogram.counts) / histogram.counts.sum()
    cut = (1 - percent / 100) / 2
    width = (histogram.high - histogram.low) / BINS
    first = int(np.searchsorted(share, cut, side="right"))
    last = int(np.searchsorted(share, 1 - cut, side="left"))
    low = histogram.low if first == 0 else histogram.low + width * first
    high = histogram.high if last >= BINS - 1 else histogram.low + width * (last + 1)
    return _with_zero(low, high)


def _least_squares(histogram: Histogram) -> Range:
    """Return the range with the smallest mean square error: of rounding inside it, and of clipping beyond it."""
    best = _with_zero(histogram.low, histogram.high)
    shares = np.linspace(1 / _STEPS, 1, _STEPS)
    # One end at a time: each depends on the other through the step only, so twice round is enough.
    for _ in range(2):
        ends = [Range(best.low, max(histogram.high, 0.0) * share) for share in shares]
        best = min(ends, key=lambda end: _square_error(histogram, end))
        ends = [Range(min(histogram.low, 0.0) * share, best.high) for share in shares]
        best = min(ends, key=lambda end: _square_error(histogram, end))
    return best


def _square_error(histogram: Histogram, end: Range) -> float:
    if end.high <= end.low:
        return float("inf")
    centres = histogram.centres()
    beyond = centres - np.clip(centres, end.low, end.high)
    step = (end.high - end.low) / (_LEVELS - 1)
    inside = histogram.counts[beyond == 0].sum()
    return float((histogram.counts * beyond**2).sum() + inside * step**2 / 12)


def _entropy(histogram: Histogram) -> Range:
    """Return the range, as wide to both sides, that keeps the distribution of the sizes best (Kullback-Leibler).

    The method of 8-bit inference with TensorRT (S. Migacz, GTC 2017): sizes beyond the threshold are counted into
    the last bin, the bins are merged into as many levels as there are, and spread over those that were not empty.
    """
    furthest = max(abs(histogram.low), abs(histogram.high))
    levels = _LEVELS if histogram.low >= 0 else _LEVELS // 2
    sizes = np.abs(histogram.centres())
    counts, _ = np.histogram(sizes, bins=BINS // 2, range=(0, furthest), weights=histogram.counts)
    best, least = BINS // 2, float("inf")
    for end in range(levels, BINS // 2 + 1, levels // 8):
        divergence = _divergence(counts, end, levels)
        if divergence < least:
            best, least = end, divergence
    threshold = furthest * best / (BINS // 2)
    return _with_zero(max(histogram.low, -threshold), min(histogram.high, threshold))


def _divergence(counts: npt.NDArray[np.float64], end: int, levels: int) -> float:
    """Return how much of the first `end` bins' distribution is lost in `levels` levels, in nats."""
    kept = counts[:end].copy()
    merged_from = np.arange(end) * levels // end
    filled = kept > 0
    totals = np.bincount(merged_from, weights=kept, minlength=levels)
    members = np.bincount(merged_from, weights=filled, minlength=levels)
    spread = np.where(filled, totals[merged_from] / np.maximum(members[merged_from], 1), 0.0)
    kept[-1] += counts[end:].sum()
    if not spread.sum():
        return float("inf")
    wanted, given = kept / kept.sum(), np.maximum(spread / spread.sum(), _FLOOR)
    seen = wanted > 0
    return float((wanted[seen] * np.log(wanted[seen] / given[seen])).sum())
