"""An object with an Ingress and an HTTPRoute, which are deleted when the spec no longer requests them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e2e.classifiers import children, current_condition, manifest, wait_for, wait_until_ready

if TYPE_CHECKING:
    from e2e.cluster.api import Object
    from e2e.kube import Kube

_PARENT = {"name": "public", "namespace": "gateways", "sectionName": "https"}
_SPEC: dict[str, Any] = {
    "rollout": {"drainSeconds": 0},
    "service": {"port": 8080},
    "ingress": {"host": "pets.example.org", "className": "none", "tlsSecretName": "pets-tls", "path": "/api/v1"},
    "gateway": {"parentRefs": [_PARENT], "hostnames": ["pets.example.org"]},
}


def test_ingress_and_route_are_created_and_each_is_deleted(kube: Kube, namespace: str) -> None:
    kube.apply(manifest("pets", namespace=namespace, spec=_SPEC))
    live = wait_until_ready(kube, "pets", namespace=namespace)
    found = children(kube, live["metadata"]["uid"], namespace=namespace)
    _check_ingress(found["ingresses"], found["services"])
    _check_route(found["httproutes"], found["services"])
    # no controller serves this class or this Gateway, and Ready does not depend on it
    assert current_condition(live, "IngressReady")["reason"] == "AddressPending"
    assert current_condition(live, "GatewayReady")["reason"] == "Pending"

    for field, plural, condition in (
        ("ingress", "ingresses", "IngressReady"),
        ("gateway", "httproutes", "GatewayReady"),
    ):
        kube.patch("imageclassifiers", "pets", {"spec": {field: None}}, namespace=namespace)
        live = _wait_for_reason(kube, condition, "NotRequested", namespace=namespace)
        assert plural not in children(kube, live["metadata"]["uid"], namespace=namespace)
    left = children(kube, live["metadata"]["uid"], namespace=namespace)
    assert {"deployments", "services"} <= set(left)


def _check_ingress(ingress: Object, service: Object) -> None:
    spec = ingress["spec"]
    assert spec["ingressClassName"] == "none"
    assert spec["tls"] == [{"hosts": ["pets.example.org"], "secretName": "pets-tls"}]
    (rule,) = spec["rules"]
    (path,) = rule["http"]["paths"]
    assert (rule["host"], path["path"], path["pathType"]) == ("pets.example.org", "/api/v1", "Prefix")
    (port,) = service["spec"]["ports"]
    assert path["backend"] == {"service": {"name": "pets", "port": {"name": port["name"]}}}


def _check_route(route: Object, service: Object) -> None:
    spec = route["spec"]
    (parent,) = spec["parentRefs"]
    assert parent.items() >= _PARENT.items()
    assert spec["hostnames"] == ["pets.example.org"]
    (rule,) = spec["rules"]
    (backend,) = rule["backendRefs"]
    assert (backend["kind"], backend["name"], backend["port"]) == ("Service", "pets", 8080)
    assert service["spec"]["ports"][0]["port"] == 8080


def _wait_for_reason(kube: Kube, condition: str, reason: str, *, namespace: str) -> Object:
    return wait_for(
        kube,
        "pets",
        namespace=namespace,
        what=f"{condition} {reason}",
        probe=lambda live: current_condition(live, condition).get("reason") == reason,
    )
