"""Percentiles are values that were measured; ratios compare what ran beside each other."""

import math

import pytest

from runtime.bench.statistics import Spread, percentile, ratios, spread


@pytest.mark.parametrize(("percent", "wanted"), [(50, 50), (95, 95), (99, 99), (99.5, 100), (100, 100), (0, 1)])
def test_a_percentile_is_the_nearest_rank(percent: float, wanted: float) -> None:
    assert percentile(list(range(1, 101)), percent) == wanted


def test_a_percentile_of_one_value_is_that_value_and_of_none_is_no_number() -> None:
    assert percentile([7.0], 99) == 7.0
    assert math.isnan(percentile([], 50))


def test_a_spread_is_median_and_range() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert spread([4.0, 1.0, 2.0, 3.0]) == Spread(2.5, 1.0, 4.0)


def test_what_is_not_a_number_does_not_spoil_a_spread() -> None:
    assert spread([math.nan, 2.0]) == Spread(2.0, 2.0, 2.0)
    assert spread([math.nan]) is None
    assert spread([]) is None


def test_ratios_are_taken_round_by_round() -> None:
    assert ratios({0: 80.0, 1: 40.0}, {0: 100.0, 1: 50.0}) == [0.8, 0.8]


def test_a_round_that_only_one_side_has_gives_no_ratio() -> None:
    assert ratios({0: 80.0, 1: 40.0, 2: 10.0}, {0: 100.0, 2: 0.0}) == [0.8]
