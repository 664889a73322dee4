"""Edits of children that applying again would not undo, because the edit added what the API merges with ours."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.operator_harness import (
    Api,
    OperatorCluster,
    classifier,
    condition,
    eventually,
    no_writes,
    reconciled,
    spec_of,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

_SERVER = "/spec/template/spec/containers/0"
_SIDECAR = {"name": "sidecar", "image": "example.org/sidecar"}


@pytest.fixture(scope="module", autouse=True)
def operator(cluster: OperatorCluster) -> Iterator[subprocess.Popen[str]]:
    with cluster.operator() as process:
        yield process


def change(op: str, path: str, value: Any = None) -> dict[str, Any]:
    """Return one operation of a JSON patch."""
    return {"op": op, "path": path, **({} if op == "remove" else {"value": value})}


def edit(api: Api, kind: str, *changes: dict[str, Any]) -> None:
    """Change a child as `kubectl edit` does: the result has exactly what was typed."""
    api.run("patch", kind, "pets", "--type=json", "-p", json.dumps(changes))


def spec(api: Api, kind: str) -> dict[str, Any]:
    live = api.get(kind, "pets")
    assert live is not None
    found: dict[str, Any] = live["spec"]
    return found


HAND_EDITS = {
    "another handler of a probe": (
        "deployment",
        [
            change("remove", f"{_SERVER}/livenessProbe/httpGet"),
            change("add", f"{_SERVER}/livenessProbe/exec", {"command": ["true"]}),
        ],
    ),
    "a renamed container": ("deployment", [change("replace", f"{_SERVER}/name", "renamed")]),
    "another command": ("deployment", [change("add", f"{_SERVER}/command", ["sleep", "1d"])]),
    "a hook": (
        "deployment",
        [change("add", f"{_SERVER}/lifecycle", {"preStop": {"exec": {"command": ["sleep", "1"]}}})],
    ),
    "another port of the container": ("deployment", [change("replace", f"{_SERVER}/ports/0/containerPort", 9000)]),
    "a variable from elsewhere": (
        "deployment",
        [
            change("remove", f"{_SERVER}/env/0/value"),
            change("add", f"{_SERVER}/env/0/valueFrom", {"fieldRef": {"fieldPath": "metadata.name"}}),
        ],
    ),
    "another kind of volume": (
        "deployment",
        [
            change("remove", "/spec/template/spec/volumes/0/emptyDir"),
            change("add", "/spec/template/spec/volumes/0/configMap", {"name": "other"}),
        ],
    ),
    "another port of the Service": ("service", [change("replace", "/spec/ports/0/port", 8081)]),
    "another kind of budget": (
        "poddisruptionbudget",
        [change("remove", "/spec/maxUnavailable"), change("add", "/spec/minAvailable", 2)],
    ),
}


def test_each_hand_edit_is_undone_and_the_spec_goes_on_being_applied(cluster: OperatorCluster, api: Api) -> None:
    api.apply(classifier(replicas=2))
    reconciled(api)
    eventually(lambda: no_writes(cluster, seconds=1), seconds=40, what="the operator to stop writing")
    for name, (kind, changes) in HAND_EDITS.items():
        before = spec(api, kind)
        edit(api, kind, *changes)
        eventually(functools.partial(is_spec, api, kind, before), seconds=20, what=f"{name} to be undone")
    api.run("scale", "ic/pets", "--replicas=3")
    eventually(lambda: spec_of(api)["replicas"] == 3, what="three replicas")
    eventually(lambda: no_writes(cluster, seconds=3), seconds=40, what="the operator to stop writing")
    live = api.get("ic", "pets")
    assert condition(live)["reason"] != "Invalid"
    assert condition(live, "Contested")["status"] == "False"


def is_spec(api: Api, kind: str, expected: dict[str, Any]) -> bool:
    return spec(api, kind) == expected


def test_what_others_add_to_a_child_is_kept_when_a_hand_edit_is_undone(api: Api) -> None:
    api.apply(classifier())
    reconciled(api)
    edit(
        api,
        "deployment",
        change("add", "/spec/template/spec/containers/-", _SIDECAR),
        change("add", f"{_SERVER}/env/-", {"name": "ADDED", "value": "1"}),
        change("replace", f"{_SERVER}/name", "renamed"),
    )
    names = {"server", "sidecar"}
    eventually(lambda: names_of_containers(api) == names, seconds=20, what="the server beside the sidecar")


def names_of_containers(api: Api) -> set[str]:
    return {each["name"] for each in spec_of(api)["template"]["spec"]["containers"]}


def test_what_another_manager_has_applied_is_removed_too(api: Api) -> None:
    api.apply(classifier())
    reconciled(api)
    before = spec_of(api)
    container = {"name": "server", "command": ["sleep", "1d"]}
    applied = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "pets"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    options = ("--server-side", "--force-conflicts", "--field-manager=gitops")
    api.run("apply", *options, "-f", "-", stdin=json.dumps(applied))
    eventually(lambda: spec_of(api) == before, seconds=20, what="the command to be removed")
