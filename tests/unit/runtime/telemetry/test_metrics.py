"""Names, help texts, labels and buckets of the metrics, on which alerts depend."""

from __future__ import annotations

import threading

from imageclassifier_runtime.telemetry.metrics import Metrics
from prometheus_client.parser import text_string_to_metric_families

_FAMILIES = {
    "imageclassifier_requests": ("counter", "Completed requests"),
    "imageclassifier_request_duration_seconds": (
        "histogram",
        "Seconds from the headers of a request to the end of its response",
    ),
    "imageclassifier_stage_duration_seconds": (
        "histogram",
        "Duration of one stage of a classification in seconds",
    ),
    "imageclassifier_batch_size": ("histogram", "Inputs per inference; recorded only if batching is enabled"),
    "imageclassifier_queue_depth": ("gauge", "Requests waiting for memory, for a worker, or in a batch"),
    "imageclassifier_in_flight_requests": ("gauge", "Requests processed by a worker"),
    "imageclassifier_rejected": ("counter", "Rejected requests"),
    "imageclassifier_model_info": ("gauge", "The served model; always 1"),
}
_BOUNDS = {
    "imageclassifier_request_duration_seconds": (
        "0.005 0.01 0.02 0.03 0.05 0.075 0.1 0.2 0.3 0.5 0.75 1.0 2.5 5.0 10.0 +Inf"
    ),
    "imageclassifier_stage_duration_seconds": (
        "0.0005 0.001 0.002 0.003 0.005 0.01 0.02 0.05 0.1 0.2 0.5 1.0 2.5 5.0 +Inf"
    ),
    "imageclassifier_batch_size": "1.0 2.0 3.0 4.0 6.0 8.0 12.0 16.0 24.0 32.0 48.0 64.0 +Inf",
}


def observe(metrics: Metrics, number: int) -> None:
    metrics.requests.labels("native", 200 + number % 100).inc()
    metrics.duration.labels(f"protocol {number % 100}").observe(0.02)
    metrics.stages.labels("decode").observe(0.0201)


def test_names_help_texts_and_buckets_are_stable() -> None:
    metrics = Metrics()
    observe(metrics, 0)
    page = metrics.render().decode()
    families = {family.name: family for family in text_string_to_metric_families(page)}
    ours = {name: family for name, family in families.items() if name.startswith("imageclassifier_")}
    assert {name: (family.type, family.documentation) for name, family in ours.items()} == _FAMILIES
    for name, bounds in _BOUNDS.items():
        samples = ours[name].samples
        assert " ".join(sample.labels["le"] for sample in samples if "le" in sample.labels) == bounds


def test_a_request_is_counted_in_its_series_and_bucket() -> None:
    metrics = Metrics()
    page = metrics.render().decode()
    assert "imageclassifier_requests_total{" not in page, "no series before the first count"
    observe(metrics, 3)
    value = metrics.registry.get_sample_value
    assert value("imageclassifier_requests_total", {"protocol": "native", "code": "203"}) == 1
    for le, count in (("0.01", 0), ("0.02", 1), ("+Inf", 1)):
        bucket = {"protocol": "protocol 3", "le": le}
        assert value("imageclassifier_request_duration_seconds_bucket", bucket) == count
    assert value("imageclassifier_stage_duration_seconds_bucket", {"stage": "decode", "le": "0.02"}) == 0
    assert value("imageclassifier_stage_duration_seconds_sum", {"stage": "decode"}) == 0.0201
    assert b"_created" not in metrics.render()


def test_a_scrape_in_another_thread_has_consistent_counts() -> None:
    metrics = Metrics()
    wrong: list[tuple[dict[str, float], dict[str, float]]] = []
    done = threading.Event()

    def scrape() -> None:
        while not done.is_set():
            (family,) = metrics.duration.collect()
            buckets = {s.labels["protocol"]: s.value for s in family.samples if s.labels.get("le") == "+Inf"}
            counts = {s.labels["protocol"]: s.value for s in family.samples if s.name.endswith("_count")}
            if buckets != counts:
                wrong.append((buckets, counts))

    thread = threading.Thread(target=scrape)
    thread.start()
    for number in range(20_000):
        observe(metrics, number)
    done.set()
    thread.join()
    assert wrong == []
    (family,) = metrics.duration.collect()
    counts = [sample.value for sample in family.samples if sample.name.endswith("_count")]
    assert sum(counts) == 20_000
