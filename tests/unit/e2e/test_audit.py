"""Requests after a position are counted once each, by user, verb and resource."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from e2e.audit import (
    LogPosition,
    RequestKey,
    count,
    deprecated,
    lease_writes,
    lines_since,
    position,
    reads,
    table,
    without_other_namespaces,
    writes,
)

if TYPE_CHECKING:
    from pathlib import Path

OPERATOR = "system:serviceaccount:imageclassifier-system:imageclassifier-operator"


def _event(number: int, verb: str = "get", *, user: str = OPERATOR, **target: str) -> str:
    event: dict[str, Any] = {"auditID": str(number), "verb": verb, "user": {"username": user}}
    event |= {"objectRef": target} if target else {"requestURI": "/version?timeout=32s"}
    return json.dumps(event) + "\n"


def test_counts_by_user_verb_and_resource() -> None:
    lines = [
        _event(1, resource="services"),
        _event(2, resource="services"),
        _event(3, "patch", resource="imageclassifiers", subresource="status"),
        _event(4, user="admin"),
    ]
    assert count(lines) == {
        RequestKey(OPERATOR, "get", "services"): 2,
        RequestKey(OPERATOR, "patch", "imageclassifiers/status"): 1,
        RequestKey("admin", "get", "/version"): 1,
    }


def test_a_watch_with_two_stages_counts_once() -> None:
    assert count([_event(1, "watch", resource="pods")] * 2).total() == 1


def test_only_writes_of_the_given_user_are_returned() -> None:
    counted = count(
        [
            _event(1, "watch", resource="pods"),
            _event(2, "create", resource="events"),
            _event(3, "update", user="other", resource="leases"),
        ]
    )
    assert writes(counted, OPERATOR) == {RequestKey(OPERATOR, "create", "events"): 1}


def test_renewals_of_the_lease_and_watches_are_neither_writes_nor_reads() -> None:
    lines = [
        _event(1, "update", resource="leases"),
        _event(2, "watch", resource="pods"),
        _event(3, "list", resource="pods"),
        _event(4, "get", resource="leases"),
        _event(5, "get"),
        _event(6, "get", user="admin"),
        _event(7, "update", resource="services"),
    ]
    counted = count(lines)
    assert writes(counted, OPERATOR) == {RequestKey(OPERATOR, "update", "services"): 1}
    assert lease_writes(counted, OPERATOR) == {RequestKey(OPERATOR, "update", "leases"): 1}
    assert reads(counted, OPERATOR).total() == 3


def test_requests_in_other_namespaces_are_left_out() -> None:
    lines = [_event(1), *(_event(2, resource="pods", namespace=name) for name in ("ours", "theirs", "system"))]
    assert list(without_other_namespaces(lines, "ours", "system")) == [lines[0], lines[1], lines[3]]


def test_deprecated_versions_are_those_that_the_server_annotates() -> None:
    old = json.loads(_event(1, resource="horizontalpodautoscalers"))
    old["annotations"] = {"k8s.io/deprecated": "true", "k8s.io/removed-release": "1.26"}
    other = json.loads(_event(2, resource="pods"))
    other["annotations"] = {"authorization.k8s.io/reason": "about k8s.io/deprecated"}
    lines = [json.dumps(old), json.dumps(other), _event(3, resource="services")]
    assert deprecated(lines) == {RequestKey(OPERATOR, "get", "horizontalpodautoscalers"): 1}


def test_lines_after_a_position(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text("old\n")
    since = position(log)
    with log.open("a") as file:
        file.write("new\nhalf a li")
    assert list(lines_since(log, since)) == ["new\n"]


@pytest.mark.parametrize("written_later", ["", "a line\n", "a line\nnew\n"])
def test_a_line_that_is_being_written_at_the_position_is_left_out(tmp_path: Path, written_later: str) -> None:
    log = tmp_path / "audit.log"
    log.write_text("old\nhalf ")
    since = position(log)
    with log.open("a") as file:
        file.write(written_later)
    assert list(lines_since(log, since)) == (["new\n"] if "new" in written_later else [])


def test_lines_after_a_position_in_a_rotated_log(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text("old\n")
    since = position(log)
    with log.open("a") as file:
        file.write("last of the first\n")
    rotated = log.rename(tmp_path / "audit-2026-11-21T09-00-00.000.log")
    log.write_text("first of the second\n")
    assert rotated.exists()
    assert list(lines_since(log, since)) == ["last of the first\n", "first of the second\n"]


def test_a_position_in_a_deleted_file_is_an_error(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text("new\n")
    with pytest.raises(ValueError, match="rotated"):
        list(lines_since(log, LogPosition(inode=0, offset=0)))


def test_the_table_has_a_line_for_each_key() -> None:
    lines = table(count([_event(1, resource="pods"), _event(2, user="a")])).splitlines()
    assert [line.split() for line in lines] == [["1", "a", "get", "/version"], ["1", OPERATOR, "get", "pods"]]
