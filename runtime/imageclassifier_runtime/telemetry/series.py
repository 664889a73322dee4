"""A counter and a histogram for what every request counts: plain numbers, which Prometheus' client shows.

Its own take a lock for each number; these are for one thread that counts. Any thread may ask for them.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric


class PlainCounter(Collector):
    """Counts by label values; a series begins with its first count."""

    def __init__(self, name: str, text: str, labels: Sequence[str], *, registry: CollectorRegistry) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._counts: defaultdict[tuple[object, ...], int] = defaultdict(int)
        registry.register(self)

    def inc(self, *values: object) -> None:
        """Count one of these label values."""
        self._counts[values] += 1

    def describe(self) -> Iterable[Metric]:
        """Return the family without its series."""
        return (CounterMetricFamily(self._name, self._text, labels=self._labels),)

    def collect(self) -> Iterable[Metric]:
        """Return the family."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, count in tuple(self._counts.items()):
            family.add_metric([str(value) for value in values], count)
        return (family,)


class PlainHistogram(Collector):
    """Observations by one label; a series begins with its first observation."""

    def __init__(
        self, name: str, text: str, label: str, *, buckets: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name, self._text, self._label = name, text, label
        self._bounds = sorted(buckets)
        self._names = [floatToGoString(bound) for bound in (*self._bounds, float("inf"))]  # type: ignore[no-untyped-call]
        # How many fell into each bucket, and last their sum: one list, so that one copy takes all of it.
        self._series: dict[str, list[float]] = {}
        registry.register(self)

    def observe(self, value: str, amount: float) -> None:
        """Count an amount, which is a number, in the series of a label's value."""
        series = self._series.get(value)
        if series is None:
            series = self._series[value] = [0.0] * (len(self._names) + 1)
        series[bisect_left(self._bounds, amount)] += 1
        series[-1] += amount

    def describe(self) -> Iterable[Metric]:
        """Return the family without its series."""
        return (HistogramMetricFamily(self._name, self._text, labels=[self._label]),)

    def collect(self) -> Iterable[Metric]:
        """Return the family, its buckets summed up as Prometheus has them."""
        family = HistogramMetricFamily(self._name, self._text, labels=[self._label])
        for value, series in tuple(self._series.items()):
            *counts, total = tuple(series)
            family.add_metric([value], list(zip(self._names, itertools.accumulate(counts), strict=True)), total)
        return (family,)
