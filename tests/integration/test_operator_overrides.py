"""A mutating admission policy that changes a field of ours is reported, and no reason to write again and again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.operator_harness import (
    Api,
    Bench,
    classifier,
    condition,
    eventually,
    no_writes,
    settled,
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
"""The pause after a second write in vain, 60 s, where a slow machine had the first pause end within the window."""
_PATCH = ("patch", "deployments/")


@pytest.fixture
def api(bench: Bench) -> Iterator[Api]:
    """A namespace in which a policy sets the grace period of every Deployment to 7 s."""
    api = bench.fresh_namespace()
    admin = Api(bench.plane.kubeconfig)
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
def test_an_overridden_field_is_reported_and_written_once_for_a_change(bench: Bench, api: Api) -> None:
    said = f"Deployment {_FIELD} is overridden by the API server (an admission policy or webhook): desired "
    with bench.operator():
        api.apply(classifier())
        eventually(lambda: said in _message(api), what="the overridden field")
        assert _message(api).endswith(", observed 7")
        settled(api)
        eventually(lambda: no_writes(bench, seconds=2), what="the operator at rest")
        before = bench.audit_lines()
        api.patch("ic", "pets", {"spec": {"replicas": 2}})
        end = time.monotonic() + _WINDOW_SECONDS
        while time.monotonic() < end:  # events of children, each of them a reason to look
            api.run("label", "serviceaccount", "pets", f"at={time.monotonic()}", "--overwrite")
            time.sleep(1)
        assert bench.operator_writes(since=before).count(_PATCH) in {1, 2}
        assert spec_of(api)["replicas"] == 2
        assert said in _message(api)
        assert no_writes(bench, seconds=3)
        for manifest in _policy():
            Api(bench.plane.kubeconfig).run("delete", manifest["kind"], _NAME)
        eventually(lambda: _grace(api) != 7, seconds=_NEXT_WRITE_SECONDS, what="the desired grace period")
        eventually(lambda: "overridden" not in _message(api), what="a message without it")
