"""What is seen where not everything may be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imageclassifier_operator.kube import ForbiddenError, Listing, UnreachableError
from imageclassifier_operator.manifests import Capabilities
from imageclassifier_operator.observe import observe

from tests.unit.operator.scripted_cluster import ScriptedCluster

if TYPE_CHECKING:
    from imageclassifier_operator.status import Observation


async def look(*lists: Listing | Exception) -> Observation:
    live = {"Deployment": {"metadata": {"uid": "d"}}}
    return await observe(
        ScriptedCluster(lists=lists),
        namespace="vision",
        name="pets",
        uid="1",
        capabilities=Capabilities(service_monitors=False),
        live=live,
    )


@pytest.mark.parametrize("readable", [0, 1])
async def test_pods_that_may_not_be_read_are_a_problem_and_not_the_end(readable: int) -> None:
    seen = await look(*[Listing([], "1")] * readable, ForbiddenError("pods is forbidden"))
    [problem] = seen.problems
    assert (problem.kind, problem.reason) == ("Pod", "Forbidden")
    assert "pods is forbidden" in problem.message
    assert seen.deployment is not None


async def test_a_kind_that_is_not_served_is_told_apart_from_a_child_that_does_not_exist() -> None:
    seen = await look(Listing([], "1"), Listing([], "1"))
    monitor, autoscaler = seen.child("ServiceMonitor"), seen.child("HorizontalPodAutoscaler")
    assert (monitor.served, monitor.live) == (False, None)
    assert (autoscaler.served, autoscaler.live) == (True, None)
    assert seen.child("Deployment").live is seen.deployment


async def test_a_server_that_does_not_answer_is_asked_again() -> None:
    with pytest.raises(UnreachableError):
        await look(UnreachableError("no answer"))
