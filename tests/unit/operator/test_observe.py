"""What is observed if not everything may be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.kube import ForbiddenError, KubeError, Listing, UnreachableError
from imageclassifier_operator.manifests import Capabilities
from imageclassifier_operator.observe import observe

from tests.unit.operator.scripted_cluster import ScriptedCluster

if TYPE_CHECKING:
    from imageclassifier_operator.status import Observation


class ClusterWithEvents(ScriptedCluster):
    """Has Events about pods, by UID, or rejects reading them."""

    def __init__(self, *lists: Listing | Exception, events: dict[str, Any] | KubeError | None = None) -> None:
        super().__init__(lists=lists)
        self.events = events or {}

    async def warnings(self, *, namespace: str, uid: str) -> Listing:
        assert namespace == "vision"
        if isinstance(self.events, KubeError):
            raise self.events
        return Listing([self.events[uid]], "1")


async def observed_with(
    *lists: Listing | Exception, events: dict[str, Any] | KubeError | None = None
) -> Observation:
    live = {"Deployment": {"metadata": {"uid": "d"}, "spec": {"replicas": 4}}}
    return await observe(
        ClusterWithEvents(*lists, events=events),
        namespace="vision",
        name="pets",
        uid="1",
        capabilities=Capabilities(service_monitors=False),
        live_children=live,
    )


@pytest.mark.parametrize("readable", [0, 1])
async def test_forbidden_pods_are_reported_as_a_problem(readable: int) -> None:
    observed = await observed_with(*[Listing([], "1")] * readable, ForbiddenError("pods is forbidden"))
    [problem] = observed.problems
    assert (problem.kind, problem.reason) == ("Pod", "Forbidden")
    assert "pods is forbidden" in problem.message
    assert observed.deployment is not None


async def test_a_kind_that_is_not_served_differs_from_a_child_that_does_not_exist() -> None:
    observed = await observed_with(Listing([], "1"), Listing([], "1"))
    monitor, autoscaler = observed.child("ServiceMonitor"), observed.child("HorizontalPodAutoscaler")
    assert (monitor.served, monitor.live) == (False, None)
    assert (autoscaler.served, autoscaler.live) == (True, None)
    assert observed.child("Deployment").live is observed.deployment


async def test_an_unreachable_server_is_retried() -> None:
    with pytest.raises(UnreachableError):
        await observed_with(UnreachableError("timeout"))


def pods() -> Listing:
    """Return a ready pod, one that reports why it is not ready, and three that do not."""
    failed = {"phase": "Failed", "reason": "Evicted"}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    statuses = {"serves": ready, "failed": failed, "a": {}, "b": {}, "c": {}}
    owner = {"ownerReferences": [{"uid": "r"}]}
    return Listing(
        [{"metadata": {"name": uid, "uid": uid, **owner}, "status": status} for uid, status in statuses.items()],
        "1",
    )


REPLICA_SETS = Listing([{"metadata": {"name": "pets-1", "uid": "r", "ownerReferences": [{"uid": "d"}]}}], "1")


async def test_events_are_read_of_few_pods_that_do_not_report_a_cause() -> None:
    events = {uid: {"reason": f"Of{uid}"} for uid in "abc"}
    observed = await observed_with(REPLICA_SETS, pods(), events=events)
    assert observed.warnings == {"a": [{"reason": "Ofa"}], "b": [{"reason": "Ofb"}]}


@pytest.mark.parametrize("error", [ForbiddenError("events is forbidden"), UnreachableError("timeout")])
async def test_without_events_the_status_is_written_all_the_same(error: KubeError) -> None:
    observed = await observed_with(REPLICA_SETS, pods(), events=error)
    assert (observed.warnings, observed.problems) == ({}, ())
