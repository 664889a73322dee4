"""What is observed if not everything may be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imageclassifier_operator.kube import ForbiddenError, Listing, UnreachableError
from imageclassifier_operator.manifests import Capabilities
from imageclassifier_operator.observe import observe

from tests.unit.operator.scripted_cluster import ScriptedCluster

if TYPE_CHECKING:
    from imageclassifier_operator.status import Observation


async def observed_with(*lists: Listing | Exception) -> Observation:
    live = {"Deployment": {"metadata": {"uid": "d"}}}
    return await observe(
        ScriptedCluster(lists=lists),
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
