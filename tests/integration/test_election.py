"""Two operators on a real API server: one acts, and the other takes over when it ends, dies, or hangs."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from imageclassifier_operator.controller.election import LEASE_SECONDS

from e2e import audit
from tests.integration.operator_harness import (
    Api,
    OperatorCluster,
    classifier,
    eventually,
    no_writes,
    reconciled,
    spec_of,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

NAMESPACE, NAME = "imageclassifier-system", "imageclassifier-operator"

pytestmark = pytest.mark.newest


@contextmanager
def candidate(
    cluster: OperatorCluster, identity: str, *, killed: bool = False, code: int = 0
) -> Iterator[subprocess.Popen[str]]:
    """Run an operator that takes part in the election."""
    options = (f"--lease={NAMESPACE}/{NAME}", f"--identity={identity}")
    with cluster.operator(*options, killed=killed, code=code, errors=code != 0) as process:
        yield process


def holder(cluster: OperatorCluster) -> str:
    lease = Api(cluster.plane.kubeconfig, NAMESPACE).get("lease", NAME) or {}
    return str((lease.get("spec") or {}).get("holderIdentity"))


def wait_until_held(cluster: OperatorCluster, identity: str, *, seconds: float = 30) -> float:
    """Wait until a process holds the Lease, and return the seconds that it took."""
    began = time.monotonic()
    eventually(lambda: holder(cluster) == identity, seconds=seconds, what=f"{identity} to hold the Lease")
    return time.monotonic() - began


def writers(cluster: OperatorCluster, since: audit.LogPosition) -> set[str]:
    """Return the identities that wrote anything but the Lease."""
    events = cluster.operator_requests(since=since)
    return {
        event["userAgent"].partition("(")[2].rstrip(")")
        for event in events
        if event["verb"] in audit.WRITES and event["objectRef"]["resource"] != "leases"
    }


def write_until(api: Api, seconds: float) -> None:
    """Change an object again and again, so that the operator has something to write."""
    end = time.monotonic() + seconds
    replicas = 1
    while time.monotonic() < end:
        replicas = 3 - replicas
        api.patch("ic", "pets", {"spec": {"replicas": replicas}})
        time.sleep(0.2)


def test_the_other_operator_takes_over_within_3_s_of_a_graceful_stop(cluster: OperatorCluster, api: Api) -> None:
    with candidate(cluster, "first") as first:
        wait_until_held(cluster, "first")
        api.apply(classifier())
        reconciled(api)
        with candidate(cluster, "second"):
            eventually(lambda: "as second" in cluster.last_log(), what="the second to wait")
            before = cluster.audit_position()
            write_until(api, 2)
            assert writers(cluster, before) == {"first"}
            before = cluster.audit_position()
            first.send_signal(signal.SIGTERM)
            began = time.monotonic()
            api.patch("ic", "pets", {"spec": {"replicas": 5}})
            eventually(lambda: holder(cluster) == "second", what="the second to act")
            handed_over, after = time.monotonic() - began, cluster.audit_position()
            eventually(lambda: spec_of(api)["replicas"] == 5, what="the change")
            write_until(api, 2)
            assert first.wait(10) == 0
            assert handed_over < 3
            assert writers(cluster, after) == {"second"}


def test_the_other_operator_takes_over_within_20_s_of_a_kill(cluster: OperatorCluster, api: Api) -> None:
    with candidate(cluster, "first", killed=True) as first:
        wait_until_held(cluster, "first")
        api.apply(classifier())
        reconciled(api)
        with candidate(cluster, "second"):
            eventually(lambda: "as second" in cluster.last_log(), what="the second to wait")
            first.kill()
            began = time.monotonic()
            api.patch("ic", "pets", {"spec": {"replicas": 5}})
            eventually(lambda: spec_of(api)["replicas"] == 5, seconds=30, what="the change")
            assert time.monotonic() - began < 20


def test_a_stopped_operator_that_continues_writes_nothing_and_ends(cluster: OperatorCluster, api: Api) -> None:
    with candidate(cluster, "first", code=1) as first:
        wait_until_held(cluster, "first")
        api.apply(classifier())
        reconciled(api)
        with candidate(cluster, "second"):
            eventually(lambda: "as second" in cluster.last_log(), what="the second to wait")
            first.send_signal(signal.SIGSTOP)
            try:
                # Events of these changes are waiting for the stopped process when it continues.
                write_until(api, 2)
                wait_until_held(cluster, "second")
                write_until(api, 2)
                before = cluster.audit_position()
            finally:
                first.send_signal(signal.SIGCONT)
            write_until(api, 2)
            assert first.wait(10) == 1
            assert writers(cluster, before) == {"second"}
            eventually(lambda: no_writes(cluster, seconds=1.5), what="no difference to be left")


def test_a_restarted_container_keeps_its_lease(cluster: OperatorCluster, api: Api) -> None:
    with candidate(cluster, "first", killed=True) as first:
        wait_until_held(cluster, "first")
        api.apply(classifier())
        reconciled(api)
        first.kill()
    began = time.monotonic()
    with candidate(cluster, "first"):
        api.patch("ic", "pets", {"spec": {"replicas": 5}})
        eventually(lambda: spec_of(api)["replicas"] == 5, what="the change")
        assert time.monotonic() - began < LEASE_SECONDS - 5
