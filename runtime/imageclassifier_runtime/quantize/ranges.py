"""Computes the range that the 256 quantization levels cover from the histogram of a tensor's values."""

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
# Least squares tries this many positions of each end of the range.
_GRID = 64
# The divergence needs a distribution without zeros.
_MIN_PROBABILITY = 1e-10


class Range(NamedTuple):
    """The covered range, which always includes zero; values outside it are clipped."""

    low: float
    high: float


class Histogram(NamedTuple):
    """The number of values in each of BINS bins of equal width from `low` to `high`."""

    low: float
    high: float
    counts: npt.NDArray[np.int64]

    def centres(self) -> npt.NDArray[np.float64]:
        """Return the centre of each bin [BINS]."""
        width = (self.high - self.low) / BINS
        return self.low + width * np.arange(0.5, BINS, dtype=np.float64)


def find(histogram: Histogram, method: str) -> Range:
    """Return the range of one tensor, computed with one of METHODS."""
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
    """Return the range of `percent` of the values; the same number of values is cut off at each end."""
    cumulative = np.cumsum(histogram.counts) / histogram.counts.sum()
    cut = (1 - percent / 100) / 2
    width = (histogram.high - histogram.low) / BINS
    first = int(np.searchsorted(cumulative, cut, side="right"))
    last = int(np.searchsorted(cumulative, 1 - cut, side="left"))
    low = histogram.low if first == 0 else histogram.low + width * first
    high = histogram.high if last >= BINS - 1 else histogram.low + width * (last + 1)
    return _with_zero(low, high)


def _least_squares(histogram: Histogram) -> Range:
    """Return the range with the smallest squared error from rounding inside it and from clipping outside it."""
    best = _with_zero(histogram.low, histogram.high)
    fractions = np.linspace(1 / _GRID, 1, _GRID)
    # One end at a time. The ends depend on each other only through the step size, so two passes are enough.
    for _ in range(2):
        tried = [Range(best.low, max(histogram.high, 0.0) * fraction) for fraction in fractions]
        best = min(tried, key=lambda candidate: _squared_error(histogram, candidate))
        tried = [Range(min(histogram.low, 0.0) * fraction, best.high) for fraction in fractions]
        best = min(tried, key=lambda candidate: _squared_error(histogram, candidate))
    return best


def _squared_error(histogram: Histogram, candidate: Range) -> float:
    if candidate.high <= candidate.low:
        return float("inf")
    centres = histogram.centres()
    clipped_by = centres - np.clip(centres, candidate.low, candidate.high)
    step = (candidate.high - candidate.low) / (_LEVELS - 1)
    inside = histogram.counts[clipped_by == 0].sum()
    return float((histogram.counts * clipped_by**2).sum() + inside * step**2 / 12)


def _entropy(histogram: Histogram) -> Range:
    """Return the range, symmetric around zero, with the lowest Kullback-Leibler divergence of absolute values.

    The method of 8-bit inference with TensorRT (S. Migacz, GTC 2017): values above a threshold are counted in the
    last bin below it. The bins are merged into the number of levels, and each level's count is spread evenly over
    its bins that were not empty.
    """
    largest = max(abs(histogram.low), abs(histogram.high))
    levels = _LEVELS if histogram.low >= 0 else _LEVELS // 2
    magnitudes = np.abs(histogram.centres())
    counts, _ = np.histogram(magnitudes, bins=BINS // 2, range=(0, largest), weights=histogram.counts)
    best, lowest = BINS // 2, float("inf")
    for end in range(levels, BINS // 2 + 1, levels // 8):
        divergence = _divergence(counts, end, levels)
        if divergence < lowest:
            best, lowest = end, divergence
    threshold = largest * best / (BINS // 2)
    return _with_zero(max(histogram.low, -threshold), min(histogram.high, threshold))


def _divergence(counts: npt.NDArray[np.float64], end: int, levels: int) -> float:
    """Return the divergence, in nats, of the first `end` bins merged into `levels` levels from the original."""
    kept = counts[:end].copy()
    level_of_bin = np.arange(end) * levels // end
    filled = kept > 0
    totals = np.bincount(level_of_bin, weights=kept, minlength=levels)
    filled_bins = np.bincount(level_of_bin, weights=filled, minlength=levels)
    spread = np.where(filled, totals[level_of_bin] / np.maximum(filled_bins[level_of_bin], 1), 0.0)
    kept[-1] += counts[end:].sum()
    if not spread.sum():
        return float("inf")
    original, merged = kept / kept.sum(), np.maximum(spread / spread.sum(), _MIN_PROBABILITY)
    positive = original > 0
    return float((original[positive] * np.log(original[positive] / merged[positive])).sum())
