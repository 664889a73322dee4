"""The operator with Roles in named namespaces, and without any permission on the cluster."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from e2e.classifiers import (
    CHILDREN,
    children,
    delete,
    manifest,
    wait_for_endpoint,
    wait_for_response,
    wait_until_ready,
)
from e2e.cluster.errors import ClusterError
from e2e.install import configured_operator, operator_log
from e2e.release import image_values, open_release

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        with open_release(kube.target) as release:
            assert "predictions: [{" in release.test()

            missing = f"e2e-{uuid.uuid4().hex[:8]}"
            more = {**image_values(images), **values, "namespaces": [namespace, missing]}
            with pytest.raises(ClusterError, match=f'namespaces "{missing}" not found'):
                release.apply(more)
