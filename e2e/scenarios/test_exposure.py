"""An object with an Ingress, which is deleted when the spec no longer requests it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2e.classifiers import children, current_condition, manifest, wait_for, wait_until_ready

if TYPE_CHECKING:
    from e2e.kube import Kube


def test_an_ingress_is_created_and_deleted(kube: Kube, namespace: str) -> None:
    ingress = {"host": "pets.example.org", "className": "none", "tlsSecretName": "pets-tls", "path": "/api/v1"}
    kube.apply(manifest("pets", namespace=namespace, spec={"ingress": ingress, "rollout": {"drainSeconds": 0}}))
    live = wait_until_ready(kube, "pets", namespace=namespace)
    found = children(kube, live["metadata"]["uid"], namespace=namespace)
    spec = found["ingresses"]["spec"]
    assert spec["ingressClassName"] == "none"
    assert spec["tls"] == [{"hosts": ["pets.example.org"], "secretName": "pets-tls"}]
    (rule,) = spec["rules"]
    (path,) = rule["http"]["paths"]
    port = found["services"]["spec"]["ports"][0]["name"]
    assert (rule["host"], path["path"]) == ("pets.example.org", "/api/v1")
    assert path["backend"] == {"service": {"name": "pets", "port": {"name": port}}}
    assert current_condition(live, "IngressReady")["reason"] == "AddressPending"

    kube.patch("imageclassifiers", "pets", {"spec": {"ingress": None}}, namespace=namespace)
    wait_for(
        kube,
        "pets",
        namespace=namespace,
        what="IngressReady NotRequested",
        probe=lambda live: current_condition(live, "IngressReady").get("reason") == "NotRequested",
    )
    assert "ingresses" not in children(kube, live["metadata"]["uid"], namespace=namespace)
