"""A mutating admission policy that changes a field of a child is reported, and causes no endless writes."""

from __future__ import annotations

import time
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
    from collections.abc import Iterator

pytestmark = pytest.mark.newest  # MutatingAdmissionPolicy is v1 since 1.36

_API = "admissionregistration.k8s.io/v1"
_NAME = "short-grace-periods"
_FIELD = "spec.template.spec.terminationGracePeriodSeconds"
_WINDOW_SECONDS = 12
_NEXT_WRITE_SECONDS = 75
"""The pause after a second ineffective write is 60 s: on a slow machine, the first one ends within the window."""
_PATCH = ("patch", "deployments/")


@pytest.fixture
def api(cluster: OperatorCluster) -> Iterator[Api]:
    """A namespace in which a policy sets the grace period of every Deployment to 7 s."""
    api = cluster.fresh_namespace()
    admin = Api(cluster.plane.kubeconfig)
    admin.run("label", "namespace", api.namespace, "policy=on")
    for manifest in _policy():
        admin.apply(manifest)
    eventually(lambda: _is_enforced(api), what="the policy")
    yield api
    for manifest in _policy():
        admin.run("delete", manifest["kind"], _NAME, "--ignore-not-found")


def _policy() -> list[dict[str, Any]]:
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}
    matched = {
        "namespaceSelector": {"matchLabels": {"policy": "on"}},
        "resourceRules": [{**rule, "operations": ["CREATE", "UPDATE"]}],
    }
    pod = "Object.spec.template.spec"
    change = f"Object{{spec: Object.spec{{template: Object.spec.template{{spec: {pod}{{%s: 7}}}}}}}}"
    expression = change % _FIELD.rpartition(".")[2]
    mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
    return [
        {
            "apiVersion": _API,
            "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": _NAME},
            "spec": {
                "matchConstraints": matched,
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "mutations": [mutation],
            },
        },
        {
            "apiVersion": _API,
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": _NAME},
            "spec": {"policyName": _NAME},
        },
    ]


def _is_enforced(api: Api) -> bool:
    path = f"-o=jsonpath={{.{_FIELD}}}"
    return api.run("create", "deployment", "probe", "--image=i", "--dry-run=server", path) == "7"


def _message(api: Api) -> str:
    message: str = condition(api.get("ic", "pets"))["message"]
    return message


def _grace(api: Api) -> int:
    seconds: int = spec_of(api)["template"]["spec"]["terminationGracePeriodSeconds"]
    return seconds


@pytest.mark.timeout(240)
def test_an_overridden_field_is_reported_and_written_once_per_change(cluster: OperatorCluster, api: Api) -> None:
    expected = f"Deployment {_FIELD} is overridden by the API server (an admission policy or webhook): desired "
    with cluster.operator():
        api.apply(classifier())
        eventually(lambda: expected in _message(api), what="the overridden field")
        assert _message(api).endswith(", observed 7")
        reconciled(api)
        eventually(lambda: no_writes(cluster, seconds=2), what="the operator to stop writing")
        before = cluster.audit_position()
        api.patch("ic", "pets", {"spec": {"replicas": 2}})
        end = time.monotonic() + _WINDOW_SECONDS
        while time.monotonic() < end:  # each event of a child causes a reconcile
            api.run("label", "serviceaccount", "pets", f"at={time.monotonic()}", "--overwrite")
            time.sleep(1)
        assert cluster.operator_writes(since=before).count(_PATCH) in {1, 2}
        assert spec_of(api)["replicas"] == 2
        assert expected in _message(api)
        assert no_writes(cluster, seconds=3)
        for manifest in _policy():
            Api(cluster.plane.kubeconfig).run("delete", manifest["kind"], _NAME)
        eventually(lambda: _grace(api) != 7, seconds=_NEXT_WRITE_SECONDS, what="the desired grace period")
        eventually(lambda: "overridden" not in _message(api), what="a message without the overridden field")
