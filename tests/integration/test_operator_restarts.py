"""What holds while the operator is down, and when it comes back."""

from __future__ import annotations

from functools import partial

import pytest

from tests.integration.operator_harness import (
    OPERATOR_USER,
    REQUIRED,
    Api,
    Bench,
    classifier,
    eventually,
    no_writes,
    settled,
    spec_of,
)


@pytest.fixture
def api(bench: Bench) -> Api:
    return bench.fresh_namespace()


def test_children_go_with_their_owner_while_the_operator_is_down(bench: Bench, api: Api) -> None:
    with bench.operator():
        api.apply(classifier())
        settled(api)
    api.run("delete", "ic", "pets", "--timeout=5s")
    for kind in (*REQUIRED, "replicaset"):
        eventually(partial(nothing_of, api, kind), seconds=30, what=f"no {kind}")


def nothing_of(api: Api, kind: str) -> bool:
    return not [item for item in api.list(kind) if item["metadata"]["name"].startswith("pets")]


def test_a_restarted_operator_writes_nothing_and_picks_up_what_it_missed(bench: Bench, api: Api) -> None:
    with bench.operator():
        api.apply(classifier())
        settled(api)
        eventually(lambda: no_writes(bench, seconds=2), what="the operator at rest")
    before = bench.audit_lines()
    with bench.operator():
        eventually(lambda: reads(bench, before) > 5, what="the operator at work")
        assert no_writes(bench, seconds=3)
        assert bench.operator_writes(since=before) == []
    api.run("delete", "service", "pets")
    api.patch("ic", "pets", {"spec": {"replicas": 2}})
    with bench.operator():
        eventually(lambda: api.get("service", "pets"), what="the Service")
        eventually(lambda: spec_of(api)["replicas"] == 2, what="the new count")


def reads(bench: Bench, since: int) -> int:
    lines = bench.plane.audit_log.read_text().splitlines()[since:]
    return sum(OPERATOR_USER in line for line in lines)
