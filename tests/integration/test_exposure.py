"""Ingresses and HTTPRoutes on a real API server: the tests write what the controllers would report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from e2e.cluster.gateway_api import HTTP_ROUTE_CRD
from tests.integration.operator_harness import (
    Api,
    OperatorCluster,
    classifier,
    condition,
    eventually,
    install_http_route_crd,
    no_writes,
    reconciled,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_GATEWAY: dict[str, Any] = {
    "parentRefs": [{"name": "public", "namespace": "gateways"}],
    "hostnames": ["pets.example.org"],
}


@pytest.fixture(scope="module")
def http_routes(cluster: OperatorCluster) -> Iterator[None]:
    """Installs the CRD of HTTPRoutes for the tests of this module."""
    admin = Api(cluster.plane.kubeconfig)
    install_http_route_crd(admin)
    yield
    admin.run("delete", "crd", HTTP_ROUTE_CRD)


@pytest.fixture(scope="module")
def operator(cluster: OperatorCluster, http_routes: None) -> Iterator[None]:
    with cluster.operator():
        yield


def test_without_its_crd_no_route_is_created_and_the_condition_says_so(
    cluster: OperatorCluster, api: Api, request: pytest.FixtureRequest
) -> None:
    with cluster.operator():
        api.apply(classifier(gateway=_GATEWAY))
        live = reconciled(api)
        assert condition(live, "GatewayReady")["reason"] == "CRDNotInstalled"
        eventually(lambda: no_writes(cluster, seconds=3), seconds=40, what="the operator to stop writing")
    request.getfixturevalue("http_routes")
    with cluster.operator():
        wait_for_condition(api, "GatewayReady", lambda found: found["reason"] == "Pending")
        assert api.get("httproute", "pets") is not None


@pytest.mark.usefixtures("operator")
def test_an_ingress_is_created_reports_its_address_and_is_deleted(cluster: OperatorCluster, api: Api) -> None:
    ingress = {"host": "pets.example.org", "className": "haproxy", "tlsSecretName": "pets-tls"}
    api.apply(classifier(ingress=ingress))
    live = reconciled(api)
    assert condition(live, "IngressReady")["reason"] == "AddressPending"
    assert live_spec(api, "ingress")["ingressClassName"] == "haproxy"
    api.patch_status("ingress", "pets", {"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}})
    ready = wait_for_condition(api, "IngressReady", lambda found: found["status"] == "True")
    assert "192.0.2.10" in ready["message"]
    assert no_writes(cluster, seconds=3)

    api.patch("ic", "pets", {"spec": {"ingress": None}})
    wait_for_condition(api, "IngressReady", lambda found: found["reason"] == "NotRequested")
    assert api.get("ingress", "pets") is None


@pytest.mark.usefixtures("operator")
def test_an_edited_ingress_is_restored(cluster: OperatorCluster, api: Api) -> None:
    api.apply(classifier(ingress={"host": "pets.example.org"}))
    reconciled(api)
    api.patch("ingress", "pets", {"spec": {"rules": [{"host": "other.example.org"}]}})

    def restored() -> bool:
        (rule,) = live_spec(api, "ingress")["rules"]
        return bool(rule["host"] == "pets.example.org" and rule["http"]["paths"][0]["path"] == "/")

    eventually(restored, what="the rule of the spec")
    assert no_writes(cluster, seconds=3)


@pytest.mark.usefixtures("operator")
def test_a_route_is_created_reports_its_gateway_and_is_deleted(cluster: OperatorCluster, api: Api) -> None:
    api.apply(classifier(gateway=_GATEWAY))
    reconciled(api)
    assert live_spec(api, "httproute")["rules"][0]["matches"]  # a default, inside a list that we own
    eventually(lambda: no_writes(cluster, seconds=3), seconds=40, what="the operator to stop writing")
    before = cluster.audit_position()
    for kind in ("httproute", "ic"):
        api.run("annotate", kind, "pets", "example.org/note=changed")
    eventually(lambda: no_writes(cluster, seconds=3), what="the operator to stop writing")
    assert cluster.operator_writes(since=before) == []

    report_on_route(api, accepted=("False", "NotAllowedByListeners"), generation=1)
    refused = wait_for_condition(api, "GatewayReady", lambda found: found["status"] == "False")
    assert refused["reason"] == "NotAllowedByListeners"
    assert refused["message"] == "Gateway gateways/public: said by the test"
    report_on_route(api, accepted=("True", "Accepted"), generation=1)
    wait_for_condition(api, "GatewayReady", lambda found: found["status"] == "True")

    api.patch("ic", "pets", {"spec": {"gateway": {"hostnames": ["cats.example.org"]}}})
    stale = wait_for_condition(api, "GatewayReady", lambda found: found["status"] == "Unknown")
    assert "has not observed the newest generation" in stale["message"]
    report_on_route(api, accepted=("True", "Accepted"), generation=2)
    wait_for_condition(api, "GatewayReady", lambda found: found["status"] == "True")
    assert no_writes(cluster, seconds=3)

    api.patch("ic", "pets", {"spec": {"gateway": None}})
    wait_for_condition(api, "GatewayReady", lambda found: found["reason"] == "NotRequested")
    assert api.get("httproute", "pets") is None


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("field", ["filters", "weight"])
def test_an_edited_route_is_restored_even_if_only_a_field_was_added(
    cluster: OperatorCluster, api: Api, field: str
) -> None:
    api.apply(classifier(gateway=_GATEWAY))
    reconciled(api)
    rules = live_spec(api, "httproute")["rules"]
    expected = [dict(rule) for rule in rules]
    if field == "filters":
        header = {"name": "x-team", "value": "vision"}
        rules[0]["filters"] = [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [header]}}]
    else:
        rules[0]["backendRefs"] = [{**rules[0]["backendRefs"][0], "weight": 0}]
    api.patch("httproute", "pets", {"spec": {"rules": rules}})
    eventually(lambda: live_spec(api, "httproute")["rules"] == expected, what="the rule of the spec")
    assert no_writes(cluster, seconds=3)


def report_on_route(api: Api, *, accepted: tuple[str, str], generation: int) -> None:
    """Write the status of the HTTPRoute as the controller of a Gateway does."""
    reported = {"Accepted": accepted, "ResolvedRefs": ("True", "ResolvedRefs")}
    conditions = [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": "said by the test",
            "observedGeneration": generation,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        for kind, (status, reason) in reported.items()
    ]
    report = {
        "parentRef": _GATEWAY["parentRefs"][0],
        "controllerName": "example.org/controller",
        "conditions": conditions,
    }
    api.patch_status("httproute", "pets", {"parents": [report]})


def live_spec(api: Api, kind: str) -> dict[str, Any]:
    """Return the spec of the live child."""
    live = api.get(kind, "pets")
    assert live is not None
    spec: dict[str, Any] = live["spec"]
    return spec


def wait_for_condition(api: Api, kind: str, accepted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait for a condition about the newest generation."""

    def current() -> dict[str, Any] | None:
        live = api.get("ic", "pets")
        found = condition(live, kind)
        assert live is not None
        return found if found["observedGeneration"] == live["metadata"]["generation"] and accepted(found) else None

    return eventually(current, seconds=40, what=kind)
