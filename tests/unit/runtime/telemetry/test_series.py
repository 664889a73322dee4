"""What every request counts: the page of metrics is the one that Prometheus' own client would write."""

from __future__ import annotations

import random
import threading

import pytest
from imageclassifier_runtime.telemetry.series import PlainCounter, PlainHistogram
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest

BUCKETS = (0.005, 0.25, 1, 10.0)
AMOUNTS = (0.0, 0.005, 0.0050001, 0.25, 1.0, 9.999, 10.0, 10.1, 1e9)
NAMES = ("plain", 'quoted "\\\n', "ümlaut")

disable_created_metrics()  # type: ignore[no-untyped-call]


def test_the_page_is_that_of_prometheus_own_client() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counter = PlainCounter("app_requests", "Answers", ("protocol", "code"), registry=ours)
    histogram = PlainHistogram("app_seconds", "Time\\taken\n", "stage", buckets=BUCKETS, registry=ours)
    expected_counter = Counter("requests", "Answers", ("protocol", "code"), namespace="app", registry=theirs)
    expected_histogram = Histogram("app_seconds", "Time\\taken\n", ("stage",), buckets=BUCKETS, registry=theirs)
    assert generate_latest(ours) == generate_latest(theirs), "no series before the first count"
    chance = random.Random(1)
    for _ in range(500):
        name, code, amount = chance.choice(NAMES), chance.choice((200, 503)), chance.choice(AMOUNTS)
        counter.inc(name, code)
        expected_counter.labels(name, str(code)).inc()
        histogram.observe(name, amount)
        expected_histogram.labels(name).observe(amount)
    assert generate_latest(ours) == generate_latest(theirs)
    assert b"app_seconds_sum" in generate_latest(ours)
    assert ours.get_sample_value("app_seconds_bucket", {"stage": "plain", "le": "+Inf"})


def test_a_name_is_taken_once() -> None:
    registry = CollectorRegistry()
    PlainHistogram("app_seconds", "Time", "stage", buckets=BUCKETS, registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Counter("app_seconds_count", "Another", registry=registry)
    PlainCounter("app_requests", "Answers", ("code",), registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Counter("app_requests", "Another", registry=registry)


def test_a_scrape_in_another_thread_finds_counts_that_agree() -> None:
    registry = CollectorRegistry()
    histogram = PlainHistogram("app_seconds", "Time", "stage", buckets=BUCKETS, registry=registry)
    wrong: list[tuple[dict[str, float], dict[str, float]]] = []
    done = threading.Event()

    def scrape() -> None:
        while not done.is_set():
            (family,) = registry.collect()
            buckets = {s.labels["stage"]: s.value for s in family.samples if s.labels.get("le") == "+Inf"}
            counts = {s.labels["stage"]: s.value for s in family.samples if s.name.endswith("_count")}
            if buckets != counts:
                wrong.append((buckets, counts))

    thread = threading.Thread(target=scrape)
    thread.start()
    for number in range(100_000):
        histogram.observe(f"stage {number % 100}", AMOUNTS[number % len(AMOUNTS)])
    done.set()
    thread.join()
    assert wrong == []
    counts = [s.value for family in registry.collect() for s in family.samples if s.name.endswith("_count")]
    assert sum(counts) == 100_000
