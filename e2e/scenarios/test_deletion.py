"""Children are deleted with their owner, even if no operator runs; other objects are never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2e.classifiers import CHILDREN, children, condition, delete, manifest, wait_for_reason, wait_until_ready
from e2e.install import NAMESPACE, OPERATOR, scale_operator

if TYPE_CHECKING:
    from e2e.kube import Kube

SPEC = {
    "rollout": {"drainSeconds": 0},
    "autoscaling": {"minReplicas": 1, "maxReplicas": 2},
    "ingress": {"host": "pets.example.org"},
    "gateway": {"parentRefs": [{"name": "public"}]},
    "networkPolicy": {},
}


def test_deleting_an_object_deletes_every_child(kube: Kube, namespace: str) -> None:
    kube.apply(manifest("pets", namespace=namespace, spec=SPEC))
    live = wait_until_ready(kube, "pets", namespace=namespace)
    assert set(children(kube, live["metadata"]["uid"], namespace=namespace)) == set(CHILDREN)
    delete(kube, "pets", namespace=namespace)


def test_deleting_an_object_deletes_every_child_while_the_operator_is_down(kube: Kube, namespace: str) -> None:
    kube.apply(manifest("pets", namespace=namespace, spec=SPEC))
    live = wait_until_ready(kube, "pets", namespace=namespace)
    assert set(children(kube, live["metadata"]["uid"], namespace=namespace)) == set(CHILDREN)
    replicas = (kube.get("deployments", OPERATOR, namespace=NAMESPACE) or {})["spec"]["replicas"]
    try:
        scale_operator(kube, 0)
        kube.kubectl("delete", "ic", "pets", f"--namespace={namespace}", "--timeout=20s")
        delete(kube, "pets", namespace=namespace)
    finally:
        scale_operator(kube, replicas)


def test_a_name_conflict_is_reported_and_the_other_object_never_changed(kube: Kube, namespace: str) -> None:
    other = {"metadata": {"name": "pets"}, "spec": {"ports": [{"port": 81}], "selector": {"app": "other"}}}
    created = kube.create("services", other, namespace=namespace)
    kube.apply(manifest("pets", namespace=namespace, spec={"rollout": {"drainSeconds": 0}}))
    live = wait_for_reason(kube, "pets", "NameConflict", namespace=namespace)
    assert "Service pets exists already" in condition(live, "Ready")["message"]
    kube.delete("imageclassifiers", "pets", namespace=namespace)
    left = kube.get("services", "pets", namespace=namespace) or {}
    assert left["metadata"]["uid"] == created["metadata"]["uid"]
    assert left["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]
