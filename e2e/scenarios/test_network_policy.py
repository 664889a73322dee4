"""A NetworkPolicy selects exactly the pods of its object, while the pods serve, and is deleted with its field.

The local cluster has no network plugin that enforces NetworkPolicies, so no scenario shows a rejected connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e2e import model_store
from e2e.classifiers import (
    children,
    manifest,
    pods,
    wait_for_endpoint,
    wait_for_response,
    wait_until_ready,
)
from e2e.waiting import until

if TYPE_CHECKING:
    from e2e.cluster.api import Object
    from e2e.kube import Kube


def test_a_network_policy_selects_the_pods_that_it_is_for(
    kube: Kube, namespace: str, store: str, photograph: bytes
) -> None:
    model = {
        "uri": model_store.url(store, f"{model_store.BUNDLED}/"),
        "sha256": model_store.bundled_digest(kube, store),
    }
    clients = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": store}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": model_store.NAME}},
    }
    policy = {"allowFrom": [clients], "allowMetricsFrom": []}
    spec = {"replicas": 2, "model": model, "networkPolicy": policy, "rollout": {"drainSeconds": 1}}
    kube.apply(
        manifest("pets", namespace=namespace, spec=spec),
        manifest("others", namespace=namespace, spec={}),
    )
    live = wait_until_ready(kube, "pets", namespace=namespace)
    wait_until_ready(kube, "others", namespace=namespace)
    uid = live["metadata"]["uid"]
    applied = children(kube, uid, namespace=namespace)["networkpolicies"]["spec"]

    assert _selected(kube, applied["podSelector"], namespace=namespace) == _names(
        pods(kube, "pets", namespace=namespace)
    )
    assert len(kube.list("pods", namespace=namespace)) == 3
    assert applied["policyTypes"] == ["Ingress", "Egress"]
    [ingress] = applied["ingress"]
    [peer] = ingress["from"]
    assert _names(kube.list("namespaces", selector=_text(peer["namespaceSelector"]))) == {store}
    assert len(_selected(kube, peer["podSelector"], namespace=store)) == 1
    [pod, _] = pods(kube, "pets", namespace=namespace)
    [server] = pod["spec"]["containers"]
    assert [port["port"] for port in ingress["ports"]] == [port["containerPort"] for port in server["ports"]]
    [egress] = applied["egress"]
    assert [port["port"] for port in egress["ports"]] == [53, 53, 5353, 5353, 80, 443]
    wait_for_response(wait_for_endpoint(kube, "pets", namespace=namespace), photograph)

    kube.patch("imageclassifiers", "pets", {"spec": {"networkPolicy": None}}, namespace=namespace)
    until(
        lambda: "networkpolicies" not in children(kube, uid, namespace=namespace),
        seconds=30,
        what="the NetworkPolicy to be deleted",
    )
    wait_until_ready(kube, "pets", namespace=namespace)
    wait_for_response(wait_for_endpoint(kube, "pets", namespace=namespace), photograph)


def _text(selector: Object) -> str:
    return ",".join(f"{key}={value}" for key, value in selector["matchLabels"].items())


def _names(objects: list[Any]) -> set[str]:
    return {found["metadata"]["name"] for found in objects}


def _selected(kube: Kube, selector: Object, *, namespace: str) -> set[str]:
    return _names(kube.list("pods", namespace=namespace, selector=_text(selector)))
