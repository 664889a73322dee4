"""Checks two figures of the README: the time to the first response of a new object, and the requests at rest."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import pytest

from e2e import audit
from e2e.measure.at_rest import measure_at_rest
from e2e.measure.first_response import MAX_MEDIAN_SECONDS, timelines_to_first_response
from e2e.measure.timeline import FIRST_RESPONSE, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.kube import Kube


MAX_READS_AT_REST = 20
"""Those of one reconcile, in case the metrics of an autoscaler were missing for a moment."""


def test_a_new_object_responds_within_the_time_limit(
    kube: Kube, namespace: str, add_to_summary: Callable[[str], None]
) -> None:
    # Without a drain, the pods of a run stop sooner and use less CPU during the next run.
    spec = {"rollout": {"drainSeconds": 0}}
    timelines = timelines_to_first_response(kube, namespace=namespace, runs=5, spec=spec)
    print(table(timelines))
    durations = [timeline[FIRST_RESPONSE] for timeline in timelines]
    listed = ", ".join(f"{seconds:.1f} s" for seconds in durations)
    add_to_summary(f"from kubectl apply to the first response with status 200: {listed}")
    assert statistics.median(durations) <= MAX_MEDIAN_SECONDS


def test_the_operator_makes_no_request_at_rest(
    kube: Kube, namespace: str, request: pytest.FixtureRequest, add_to_summary: Callable[[str], None]
) -> None:
    if kube.target.audit_log is None:
        pytest.skip("only the local cluster's audit log can be read")
    seconds: float = request.config.getoption("--rest-seconds")
    cost = measure_at_rest(kube, namespace=namespace, seconds=seconds)
    print(audit.table(cost.counts))
    assert cost.counts.total() > 0, "the audit log has no requests at all"
    add_to_summary(f"at rest for {cost.line()}")
    assert cost.writes == 0
    assert cost.reads < MAX_READS_AT_REST
