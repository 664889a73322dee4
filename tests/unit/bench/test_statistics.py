"""Percentiles are measured values; ratios compare slices of the same round."""

import math

import pytest

from runtime.bench.statistics import Spread, percentile, ratios, spread


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (95, 95), (99, 99), (99.5, 100), (100, 100), (0, 1)])
def test_a_percentile_is_the_nearest_rank(percent: float, expected: float) -> None:
    assert percentile(list(range(1, 101)), percent) == expected


def test_a_percentile_of_one_value_is_that_value_and_of_no_values_nan() -> None:
    assert percentile([7.0], 99) == 7.0
    assert math.isnan(percentile([], 50))


def test_a_spread_is_median_and_range() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert spread([4.0, 1.0, 2.0, 3.0]) == Spread(2.5, 1.0, 4.0)


def test_a_spread_ignores_nan() -> None:
    assert spread([math.nan, 2.0]) == Spread(2.0, 2.0, 2.0)
    assert spread([math.nan]) is None
    assert spread([]) is None


def test_ratios_are_calculated_per_round() -> None:
    assert ratios({0: 80.0, 1: 40.0}, {0: 100.0, 1: 50.0}) == [0.8, 0.8]


def test_a_round_without_a_divisor_has_no_ratio() -> None:
    assert ratios({0: 80.0, 1: 40.0, 2: 10.0}, {0: 100.0, 2: 0.0}) == [0.8]
