"""The operator with Roles in named namespaces, and without any permission on the cluster."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from e2e.classifiers import (
    CHILDREN,
    children,
    condition,
    delete,
    manifest,
    wait_for_endpoint,
    wait_for_reason,
    wait_for_response,
    wait_until_ready,
)
from e2e.cluster.errors import ClusterError
from e2e.cluster.kubectl import KubectlError
from e2e.install import OPERATOR_USER, configured_operator, operator_log
from e2e.release import image_values, open_release
from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from e2e.kube import Kube

_EVERY_CHILD: dict[str, Any] = {
    "rollout": {"drainSeconds": 0},
    "autoscaling": {"minReplicas": 1, "maxReplicas": 2},
    "ingress": {"host": "pets.example.org"},
    "gateway": {"parentRefs": [{"name": "public"}]},
    "networkPolicy": {"allowFrom": [{"namespaceSelector": {}}]},
    "monitoring": {"serviceMonitor": "Enabled"},
}


def test_with_roles_only_the_operator_serves_its_namespaces_and_ignores_the_others(
    kube: Kube, images: Mapping[str, str], namespace: str, other_namespace: str, photograph: bytes
) -> None:
    values = {"namespaces": [namespace], "roles": {"create": False}, "crds": {"install": False}}
    with configured_operator(kube, images, values):
        ours = "--selector=app.kubernetes.io/part-of=imageclassifier"
        assert kube.kubectl("get", "clusterroles,clusterrolebindings", ours, "--output=name") == ""
        assert kube.get("customresourcedefinitions", "imageclassifiers.imageclassifier.dev") is not None

        kube.apply(*(manifest("pets", namespace=each, spec=_EVERY_CHILD) for each in (namespace, other_namespace)))
        live = wait_until_ready(kube, "pets", namespace=namespace)
        assert set(children(kube, live["metadata"]["uid"], namespace=namespace)) == set(CHILDREN)
        wait_for_response(wait_for_endpoint(kube, "pets", namespace=namespace), photograph)
        ignored = kube.get("imageclassifiers", "pets", namespace=other_namespace) or {}
        assert "status" not in ignored
        assert kube.list("deployments", namespace=other_namespace) == []
        delete(kube, "pets", namespace=namespace)

        log = operator_log(kube)
        print(log)
        assert {json.loads(line)["level"] for line in log.splitlines()} == {"INFO"}
        _a_missing_permission_is_named(kube, namespace)
        with open_release(kube.target) as release:
            assert "predictions: [{" in release.test()

            missing = f"e2e-{uuid.uuid4().hex[:8]}"
            more = {**image_values(images), **values, "namespaces": [namespace, missing]}
            with pytest.raises(ClusterError, match=f'namespaces "{missing}" not found'):
                release.apply(more)


def _a_missing_permission_is_named(kube: Kube, namespace: str) -> None:
    """Take a permission away from the operator, and give it back."""
    (role,) = json.loads(kube.kubectl("get", "roles", "--output=json", f"--namespace={namespace}"))["items"]
    name, rules = role["metadata"]["name"], role["rules"]
    less = [_without_patch(rule) if "services" in rule["resources"] else rule for rule in rules]
    assert less != rules
    _set_rules(kube, name, less, namespace=namespace)
    try:
        until(lambda: not _may_patch_services(kube, namespace), seconds=10, what="the permission to be gone")
        kube.apply(manifest("pets", namespace=namespace, spec={"rollout": {"drainSeconds": 0}}))
        message = 'cannot patch resource "services"'
        live = wait_for_reason(kube, "pets", "Forbidden", namespace=namespace, containing=message)
        print(kube.kubectl("get", "ic", "--output=wide", f"--namespace={namespace}"))
        print(condition(live, "Ready")["message"])
    finally:
        _set_rules(kube, name, rules, namespace=namespace)
    wait_until_ready(kube, "pets", namespace=namespace)
    delete(kube, "pets", namespace=namespace)


def _without_patch(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {**rule, "verbs": [verb for verb in rule["verbs"] if verb != "patch"]}


def _may_patch_services(kube: Kube, namespace: str) -> bool:
    arguments = ("auth", "can-i", "patch", "services", f"--as={OPERATOR_USER}", f"--namespace={namespace}")
    try:
        return kube.kubectl(*arguments).strip() == "yes"
    except KubectlError:  # kubectl fails for the answer no
        return False


def _set_rules(kube: Kube, role: str, rules: Sequence[Mapping[str, Any]], *, namespace: str) -> None:
    patch = json.dumps({"rules": rules})
    kube.kubectl("patch", "role", role, "--type=merge", f"--patch={patch}", f"--namespace={namespace}")
