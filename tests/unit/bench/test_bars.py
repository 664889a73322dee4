"""Each bar is held by a good run, and missed by a run that is worse only in what the bar measures."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from runtime.bench import bars
from runtime.bench.results import SERVER, Curve, Results
from tests.unit.bench.support import good_results


def missed(results: Results) -> list[str]:
    return [bar.text for bar in bars.judge(results) if bar.verdict == "MISSED"]


def change(results: Results, clients: int, target: str = SERVER, **values: Any) -> Results:
    results.slices = [
        dataclasses.replace(entry, **values) if (entry.target, entry.clients) == (target, clients) else entry
        for entry in results.slices
    ]
    return results


def test_a_good_run_holds_every_bar() -> None:
    verdicts = {bar.verdict for bar in bars.judge(good_results(("FP32", "INT8")))}
    assert verdicts == {"held"}


@pytest.mark.parametrize(
    ("worsen", "expected"),
    [
        (lambda run: change(run, 50, answers=84, cpu_seconds=0.84), "FP32, 50 clients: images/s / limit's"),
        (lambda run: change(run, 8, cpu_seconds=1.2), "FP32, 8 clients: CPU per response / limit's"),
        (
            lambda run: change(run, 8, "baseline", answers=90),
            "FP32, 8 clients: images/s / baseline's",
        ),
        (lambda run: change(run, 50, p99=13.1), "FP32, 50 clients: p99 / its p50"),
        (lambda run: change(run, 200, p99=13.1), "FP32, 200 clients: p99 / its p50"),
        (lambda run: change(run, 1, p50=15.1, p99=16.0), "FP32, 1 client: p50 / baseline's"),
        (
            lambda run: change(run, 50, statuses={"200": 99, "503": 1}),
            "FP32, 50 clients: responses other than 200",
        ),
        (
            lambda run: change(run, 200, statuses={"200": 99, "reset": 1}),
            "FP32, 200 clients: responses other than 200 and 503",
        ),
        (lambda run: change(run, 8, unfinished=1), "FP32, 8 clients: responses other than 200"),
    ],
)
def test_a_run_that_is_worse_in_one_measurement_misses_only_its_bar(
    worsen: Callable[[Results], Results], expected: str
) -> None:
    assert missed(worsen(good_results())) == [expected]


def test_responses_of_503_to_200_clients_are_not_errors() -> None:
    assert missed(change(good_results(), 200, statuses={"200": 100, "503": 900})) == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"pss": 180_100_000}, "FP32: PSS after the load"),
        ({"starts": [1.01, 1.02]}, "FP32: start to first response, minus the bare import"),
    ],
)
def test_a_server_that_is_large_or_slow_to_start_misses_only_that_bar(
    values: dict[str, Any], expected: str
) -> None:
    results = good_results()
    results.footprints[0] = dataclasses.replace(results.footprints[0], **values)
    assert missed(results) == [expected]


def test_memory_without_any_response_is_not_judged() -> None:
    results = good_results()
    results.footprints[0] = dataclasses.replace(results.footprints[0], answers=0)
    assert [bar.text for bar in bars.judge(results) if bar.verdict == "not judged"] == ["FP32: PSS after the load"]


def test_memory_that_grows_misses_its_bar() -> None:
    results = good_results()
    results.curves = [
        Curve(precision="FP32", points=[(n * 10_000, 120_000_000 + n * 1_000_000) for n in range(11)])
    ]
    assert missed(results) == ["FP32: PSS at the end / early on, over 100000 responses"]


def test_a_bar_that_was_not_measured_is_listed_as_not_judged() -> None:
    results = good_results()
    results.facts["precisions_asked"] = ["FP32", "INT8"]
    results.curves = [Curve(precision="FP32", points=[(0, 1), (500, 1)])]
    lines = [bar.line() for bar in bars.judge(results) if bar.verdict == "not judged"]
    assert any("INT8, 50 clients: images/s / limit's: required: at least 0.85" in line for line in lines)
    assert any("FP32: PSS at the end" in line for line in lines)
    assert missed(results) == []


def test_a_missed_bar_says_by_how_much() -> None:
    bar = bars.Bar(text="x", value=0.8, bound=0.85, at_most=False)
    assert bar.line() == "MISSED      x: 0.8, required: at least 0.85, missed by 0.05"
