"""The promised figures: time to the first response of a new object, and no writes while nothing changes."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import pytest

from e2e import audit
from e2e.install import OPERATOR_USER
from e2e.measure.first_response import MAX_MEDIAN_SECONDS, times_to_first_response
from e2e.measure.rest import count_requests_at_rest

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.kube import Kube


def test_a_new_object_serves_within_the_promised_time(
    kube: Kube, namespace: str, figure: Callable[[str], None]
) -> None:
    spec = {"rollout": {"drainSeconds": 0}}
    durations = times_to_first_response(kube, namespace=namespace, runs=5, spec=spec)
    figure(f"from kubectl apply to the first 200: {', '.join(f'{seconds:.1f} s' for seconds in durations)}")
    assert statistics.median(durations) <= MAX_MEDIAN_SECONDS


def test_the_operator_writes_nothing_at_rest(
    kube: Kube, namespace: str, request: pytest.FixtureRequest, figure: Callable[[str], None]
) -> None:
    if kube.target.audit_log is None:
        pytest.skip("only the local cluster's audit log can be read")
    seconds: float = request.config.getoption("--rest-seconds")
    counted = count_requests_at_rest(kube, namespace=namespace, seconds=seconds)
    print(audit.table(counted))
    assert counted.total() > 0
    written = audit.writes(counted, OPERATOR_USER)
    figure(
        f"at rest for {seconds:.0f} s: {written.total()} writes by the operator, {counted.total()} requests in all"
    )
    assert not written
