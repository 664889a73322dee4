"""Whatever happens to the acting operator, clients notice nothing, and only one operator writes at a time."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from e2e import audit
from e2e.classifiers import manifest, wait_for_endpoint, wait_for_response, wait_until_ready
from e2e.install import NAMESPACE, OPERATOR_USER, configured_operator, lease_holder, wait_for_operator
from e2e.load import steady_load
from e2e.operator_process import pids_by_pod
from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from e2e.kube import Kube

SPEC: Mapping[str, Any] = {
    "replicas": 2,
    "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "500m"}},
    "rollout": {"drainSeconds": 2},
}
_TAKEOVER_SECONDS = 20.0
_STOPPED_SECONDS = 60.0


@pytest.fixture
def audit_log(kube: Kube) -> Path:
    """The audit log; skips the test if the operator's processes are not on this machine."""
    if kube.target.audit_log is None:
        pytest.skip("only processes of the local cluster can be stopped")
    return kube.target.audit_log


@pytest.fixture
def leader(kube: Kube, audit_log: Path) -> Iterator[str]:
    """The pod that acts, of two; afterwards the operator is in order again."""
    wait_for_operator(kube)
    yield lease_holder(kube)
    wait_for_operator(kube)


def test_clients_notice_nothing_when_the_leader_dies_hangs_or_is_upgraded(
    kube: Kube,
    namespace: str,
    images: dict[str, str],
    photograph: bytes,
    audit_log: Path,
    leader: str,
    add_to_summary: Callable[[str], None],
) -> None:
    kube.apply(manifest("pets", namespace=namespace, spec=SPEC))
    wait_until_ready(kube, "pets", namespace=namespace)
    endpoint = wait_for_endpoint(kube, "pets", namespace=namespace)
    wait_for_response(endpoint, photograph)
    start = audit.position(audit_log)
    with steady_load(endpoint, photograph, per_second=20) as report:
        _roll(kube, namespace, queue_size=33)
        os.kill(pids_by_pod()[leader], signal.SIGKILL)
        kube.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/{leader}", {"gracePeriodSeconds": 0})
        killed = _seconds_until(kube, lambda holder: holder not in {"", leader})
        wait_until_ready(kube, "pets", namespace=namespace)
        wait_for_operator(kube)

        second = lease_holder(kube)
        process = pids_by_pod()[second]
        os.kill(process, signal.SIGSTOP)
        stopped_at = time.monotonic()
        try:
            _roll(kube, namespace, queue_size=34)
            stopped = _seconds_until(kube, lambda holder: holder not in {"", second})
            wait_until_ready(kube, "pets", namespace=namespace)
            until(
                lambda: time.monotonic() - stopped_at >= _STOPPED_SECONDS or process not in pids_by_pod().values(),
                seconds=_STOPPED_SECONDS + 5,
                what="a minute, or the kubelet to restart the container",
            )
        finally:
            if process in pids_by_pod().values():
                os.kill(process, signal.SIGCONT)
        wait_for_operator(kube)

        _roll(kube, namespace, queue_size=35)
        with configured_operator(kube, images, {"podAnnotations": {"example.org/upgraded": "yes"}}):
            wait_until_ready(kube, "pets", namespace=namespace)
    add_to_summary(f"leader killed, stopped and upgraded during rollouts under 20 requests/s: {report}")
    add_to_summary(f"another operator acts {killed:.1f} s after a kill, {stopped:.1f} s after SIGSTOP")
    assert report.failures == []
    assert report.sent > 20 * _STOPPED_SECONDS
    assert max(killed, stopped) <= _TAKEOVER_SECONDS
    holders, writes_of_others = _writes_of_others(audit_log, start)
    assert len(holders) >= 3
    assert writes_of_others == []


def _roll(kube: Kube, namespace: str, *, queue_size: int) -> None:
    """Change the pod template; its rollout takes some seconds."""
    kube.patch("imageclassifiers", "pets", {"spec": {"limits": {"maxQueueSize": queue_size}}}, namespace=namespace)


def _seconds_until(kube: Kube, acts: Callable[[str], bool]) -> float:
    """Wait until another pod holds the Lease, and return the seconds that it took."""
    began = time.monotonic()
    until(lambda: acts(lease_holder(kube)), seconds=60, every=0.1, what="another pod to hold the Lease")
    return time.monotonic() - began


def _writes_of_others(log: Path, start: audit.LogPosition) -> tuple[set[str], list[str]]:
    """Those who held the Lease, and each write that came from another operator than its holder of that time."""
    events = [
        (event["requestReceivedTimestamp"], event["userAgent"], event["verb"], event["objectRef"]["resource"])
        for event in audit.events_since(log, start)
        if event["user"].get("username") == OPERATOR_USER
        and event["verb"] in audit.WRITES
        and event["responseStatus"]["code"] < httpx.codes.BAD_REQUEST
    ]
    holder, holders, found = "", set(), []
    for at, agent, verb, resource in sorted(events):
        if resource == "leases":
            holder = agent
            holders.add(agent)
        elif holder not in {"", agent}:
            found.append(f"{at}: {verb} {resource} by {agent}, while {holder} held the Lease")
    return holders, found
