"""Objects while the operator is down, and after its restart."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tests.integration.operator_harness import (
    REQUIRED,
    Api,
    OperatorCluster,
    classifier,
    eventually,
    no_writes,
    reconciled,
    spec_of,
)

if TYPE_CHECKING:
    from e2e.audit import LogPosition


def test_children_are_deleted_with_their_owner_while_the_operator_is_down(
    cluster: OperatorCluster, api: Api
) -> None:
    with cluster.operator():
        api.apply(classifier())
        reconciled(api)
    api.run("delete", "ic", "pets", "--timeout=5s")
    # The garbage collector looks for new kinds, such as ours, every 30 s.
    for kind in (*REQUIRED, "replicaset"):
        eventually(partial(all_deleted, api, kind), seconds=90, what=f"no {kind}")


def all_deleted(api: Api, kind: str) -> bool:
    return not [item for item in api.list(kind) if item["metadata"]["name"].startswith("pets")]


def test_a_restarted_operator_writes_nothing_until_it_finds_a_missed_change(
    cluster: OperatorCluster, api: Api
) -> None:
    with cluster.operator():
        api.apply(classifier())
        reconciled(api)
        eventually(lambda: no_writes(cluster, seconds=2), what="the operator to stop writing")
    before = cluster.audit_position()
    with cluster.operator():
        eventually(lambda: reads(cluster, before) > 5, what="the operator to read objects")
        assert no_writes(cluster, seconds=3)
        assert cluster.operator_writes(since=before) == []
    api.run("delete", "service", "pets")
    api.patch("ic", "pets", {"spec": {"replicas": 2}})
    with cluster.operator():
        eventually(lambda: api.get("service", "pets"), what="the Service")
        eventually(lambda: spec_of(api)["replicas"] == 2, what="the new number of replicas")


def reads(cluster: OperatorCluster, since: LogPosition) -> int:
    return len(cluster.operator_requests(since=since))
