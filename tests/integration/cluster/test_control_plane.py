"""The control plane for tests: RBAC, the audit log, custom resources, and a clean shutdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e import audit
from e2e.cluster.api import Api, ApiError, connect
from e2e.cluster.controlplane import ControlPlane
from e2e.cluster.processes import wait_until, with_command_line

if TYPE_CHECKING:
    from pathlib import Path

_CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.try.example"},
    "spec": {
        "group": "try.example",
        "scope": "Namespaced",
        "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane) -> Api:
    return connect(control_plane.kubeconfig)


def test_a_user_without_a_role_has_no_permissions(control_plane: ControlPlane) -> None:
    stranger = connect(control_plane.issue_kubeconfig("stranger", user="stranger"))
    with pytest.raises(ApiError, match='User "stranger" cannot list') as refused:
        stranger.list("namespaces")
    assert refused.value.code == 403


def test_requests_are_in_the_audit_log_with_user_verb_and_resource(control_plane: ControlPlane, api: Api) -> None:
    body, start = {"metadata": {"name": "audited"}}, audit.position(control_plane.audit_log)
    api.create("namespaces", body)

    def logged() -> bool:
        events = audit.events_since(control_plane.audit_log, start)
        return any(
            event["user"]["username"] == "imageclassifier-admin"
            and event["verb"] == "create"
            and event["objectRef"] == {"resource": "namespaces", "name": "audited", "apiVersion": "v1"}
            for event in events
            if "objectRef" in event
        )

    wait_until(logged, seconds=10, what="the request in the audit log")


def test_custom_resources_can_be_stored_and_read(api: Api) -> None:
    api.create("customresourcedefinitions", _CRD)
    path = "/apis/try.example/v1/namespaces/default/things"

    def served() -> bool:
        try:
            return bool(api.request("GET", path)["items"] == [])
        except ApiError:
            return False

    wait_until(served, seconds=20, what="the custom resource to be served")
    thing = {
        "apiVersion": "try.example/v1",
        "kind": "Thing",
        "metadata": {"name": "a"},
        "spec": {"of": {"b": [1]}},
    }
    api.request("POST", path, thing)
    assert [item["spec"] for item in api.request("GET", path)["items"]] == [{"of": {"b": [1]}}]


def test_the_control_plane_stops_all_of_its_processes(tmp_path: Path) -> None:
    with ControlPlane(tmp_path, controller_manager=True) as plane:
        admin = connect(plane.kubeconfig)

        def default_account_exists() -> bool:
            return any(item["metadata"]["name"] == "default" for item in _accounts(admin))

        wait_until(default_account_exists, seconds=30, what="the default service account")
        assert len(with_command_line(str(tmp_path))) == 3
    assert with_command_line(str(tmp_path)) == {}


def _accounts(api: Api) -> list[dict[str, dict[str, str]]]:
    try:
        return api.list("serviceaccounts", namespace="default")
    except ApiError:
        return []
