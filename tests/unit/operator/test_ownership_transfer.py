"""The managedFields after a transfer: nobody else owns the fields, and all else is as before."""

from __future__ import annotations

from typing import Any

import pytest
from imageclassifier_operator.apply.ownership_transfer import is_owned_by_others, transferred

PORT = 'k:{"port":8081,"protocol":"TCP"}'
SAME_PORT = 'k:{"protocol":"TCP","port":8081}'


def entry(manager: str, fields: dict[str, Any], *, operation: str = "Update", **more: str) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields, **more}


def live(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "metadata": {"managedFields": list(entries)}}


def test_a_field_moves_from_its_owner_with_all_that_is_in_it() -> None:
    theirs = entry("edit", {"f:spec": {"f:exec": {".": {}, "f:command": {}}, "f:other": {}}})
    ours = entry("us", {"f:spec": {"f:replicas": {}}}, operation="Apply")
    found = transferred(live(theirs, ours), [("f:spec", "f:exec")], manager="us")
    assert found == [
        entry("edit", {"f:spec": {"f:other": {}}}),
        entry("us", {"f:spec": {"f:replicas": {}, "f:exec": {}}}, operation="Apply"),
    ]


def test_an_owner_that_is_left_with_nothing_is_dropped() -> None:
    """An empty parent would mean that the parent is owned, so that the field would come back."""
    theirs = entry("edit", {"f:spec": {"f:ports": {PORT: {".": {}, "f:port": {}}}}})
    ours = entry("us", {"f:spec": {"f:type": {}}}, operation="Apply")
    found = transferred(live(theirs, ours), [("f:spec", "f:ports", PORT)], manager="us")
    assert [each["manager"] for each in found or []] == ["us"]


def test_the_key_of_an_item_is_found_in_any_order() -> None:
    theirs = entry("edit", {"f:spec": {"f:ports": {".": {}, SAME_PORT: {".": {}}}}})
    found = transferred(live(theirs), [("f:spec", "f:ports", PORT)], manager="us")
    assert found is not None
    assert found[0]["fieldsV1"] == {"f:spec": {"f:ports": {".": {}}}}


def test_an_object_without_an_owner_gets_one() -> None:
    [ours] = transferred(live(), [("f:spec", "f:exec")], manager="us") or []
    assert (ours["manager"], ours["operation"]) == ("us", "Apply")
    assert ours["fieldsV1"] == {"f:spec": {"f:exec": {}}}


def test_nothing_is_written_if_only_the_manager_owns_the_fields() -> None:
    ours = entry("us", {"f:spec": {"f:exec": {}}}, operation="Apply")
    assert transferred(live(ours), [("f:spec", "f:exec")], manager="us") is None


def test_our_own_updates_and_our_status_are_other_owners() -> None:
    updated = entry("us", {"f:spec": {"f:exec": {}}})
    status = entry("us", {"f:status": {"f:x": {}}}, operation="Apply", subresource="status")
    found = transferred(live(updated, status), [("f:spec", "f:exec")], manager="us") or []
    assert [(each["operation"], each.get("subresource")) for each in found] == [
        ("Apply", "status"),
        ("Apply", None),
    ]


@pytest.mark.parametrize("owned", [{"f:spec": {}}, {"f:other": {}}])
def test_an_owner_of_other_fields_keeps_them(owned: dict[str, Any]) -> None:
    found = transferred(live(entry("edit", owned)), [("f:spec", "f:exec")], manager="us") or []
    assert found[0]["fieldsV1"] == owned


def test_a_field_is_that_of_others_if_they_own_it_or_if_nobody_is_known_to() -> None:
    ours = entry("us", {"f:spec": {"f:replicas": {}}}, operation="Apply")
    theirs = entry("edit", {"f:spec": {"f:exec": {"f:command": {}}}})
    path = ("f:spec", "f:exec")
    assert is_owned_by_others(live(ours, theirs), path, manager="us")
    assert not is_owned_by_others(live(ours), path, manager="us"), "a default of the API server"
    assert is_owned_by_others(live(), path, manager="us")
