"""IngressReady and GatewayReady: what the controllers of Ingresses and Gateways report."""

from __future__ import annotations

from typing import Any

import pytest
from imageclassifier_operator.api import ModelSource, Spec
from imageclassifier_operator.api.exposure import Gateway, Ingress, ParentRef
from imageclassifier_operator.status import ObservedChild, Problem
from imageclassifier_operator.status.exposure import gateway_ready, ingress_ready
from imageclassifier_operator.status.types import Verdict

_MODEL = ModelSource(name="pets", uris=("bundled:pets",), sha256="a" * 64)
_HOST = Ingress(host="pets.example.org", class_name="haproxy")


def _ingress_ready(
    live: dict[str, Any] | None, *, ingress: Ingress | None = _HOST, problem: Problem | None = None
) -> Verdict:
    observed = ObservedChild(live=live, problem=problem, served=True)
    return ingress_ready(Spec(model=_MODEL, ingress=ingress), observed)


def test_an_ingress_that_is_not_requested_differs_from_one_not_created_yet() -> None:
    assert _ingress_ready(None, ingress=None).reason == "NotRequested"
    assert _ingress_ready(None).reason == "Pending"


def test_a_rejected_ingress_is_reported() -> None:
    problem = Problem(kind="Ingress", reason="Forbidden", message="no")
    assert _ingress_ready(None, problem=problem) == Verdict(status="False", reason="Forbidden", message="no")


def test_an_ingress_with_addresses_is_ready() -> None:
    addresses = [{"ip": "192.0.2.10"}, {"hostname": "lb.example.net"}, {"ports": []}]
    found = _ingress_ready({"status": {"loadBalancer": {"ingress": addresses}}})
    assert (found.status, found.reason) == ("True", "AddressAssigned")
    assert found.message == "pets.example.org is served at 192.0.2.10, lb.example.net"


def test_without_an_address_the_message_says_what_to_check() -> None:
    spec = {"ingressClassName": "haproxy"}  # of the spec, or the cluster's default
    statuses: list[dict[str, Any]] = [{}, {"loadBalancer": {}}, {"loadBalancer": {"ingress": [{}]}}]
    for status in statuses:
        found = _ingress_ready({"spec": spec, "status": status})
        assert (found.status, found.reason) == ("Unknown", "AddressPending")
        assert "controller of IngressClass haproxy is installed" in found.message
    without_class = _ingress_ready({}, ingress=Ingress(host="pets.example.org"))
    assert "it has no IngressClass: set spec.ingress.className" in without_class.message


def test_a_route_without_a_gateway_is_reported() -> None:
    assert _gateway_ready(_route(parents=())).reason == "NoGateway"


_PUBLIC = {"name": "public", "namespace": "gateways", "sectionName": "https"}
_INTERNAL = {"name": "internal"}
_TWO = Gateway(
    parent_refs=(ParentRef(name="public", namespace="gateways", section_name="https"), ParentRef(name="internal"))
)


def _gateway_ready(
    live: dict[str, Any] | None,
    *,
    gateway: Gateway | None = _TWO,
    problem: Problem | None = None,
    served: bool = True,
) -> Verdict:
    observed = ObservedChild(live=live, problem=problem, served=served)
    return gateway_ready(Spec(model=_MODEL, gateway=gateway), observed)


def _route(*reports: dict[str, Any], parents: tuple[dict[str, Any], ...] = (_PUBLIC, _INTERNAL)) -> dict[str, Any]:
    """Return an HTTPRoute of generation 3 as the API server has it, with defaults."""
    defaults = {"group": "gateway.networking.k8s.io", "kind": "Gateway"}
    return {
        "metadata": {"name": "pets", "namespace": "vision", "generation": 3},
        "spec": {"parentRefs": [{**defaults, **parent} for parent in parents]},
        "status": {"parents": list(reports)},
    }


def _report(
    parent: dict[str, Any],
    accepted: str = "True",
    resolved: str | None = "True",
    *,
    generation: int = 3,
    by: str = "example.org/controller",
) -> dict[str, Any]:
    statuses = {"Accepted": accepted, "ResolvedRefs": resolved}
    conditions = [
        {
            "type": kind,
            "status": status,
            "reason": kind if status == "True" else f"Not{kind}",
            "message": f"{kind} is {status}",
            "observedGeneration": generation,
        }
        for kind, status in statuses.items()
        if status is not None
    ]
    return {"parentRef": parent, "controllerName": by, "conditions": conditions}


def test_a_route_that_is_not_requested_differs_from_one_not_created_yet() -> None:
    assert _gateway_ready(None, gateway=None).reason == "NotRequested"
    assert _gateway_ready(None).reason == "Pending"


def test_a_missing_api_is_reported_before_anything_else() -> None:
    problem = Problem(kind="HTTPRoute", reason="Forbidden", message="no")
    assert _gateway_ready(None, problem=problem, served=False).reason == "CRDNotInstalled"
    assert _gateway_ready(None, problem=problem) == Verdict(status="False", reason="Forbidden", message="no")
    assert _gateway_ready(None, gateway=None, served=False).reason == "NotRequested"


def test_a_route_that_every_gateway_has_accepted_is_ready() -> None:
    found = _gateway_ready(_route(_report(_PUBLIC), _report({**_INTERNAL, "namespace": "vision"})))
    assert (found.status, found.reason) == ("True", "Accepted")
    assert found.message == (
        "Gateway gateways/public, listener https has accepted the HTTPRoute; "
        "Gateway vision/internal has accepted the HTTPRoute"
    )


def test_a_gateway_of_which_nothing_is_reported_is_pending() -> None:
    other: list[dict[str, Any]] = [
        {**_PUBLIC, "sectionName": "http"},
        {**_PUBLIC, "port": 443},
        {**_PUBLIC, "kind": "Service"},
    ]
    for reports in ([], [_report(parent) for parent in other]):
        found = _gateway_ready(_route(_report(_INTERNAL), *reports))
        assert (found.status, found.reason) == ("Unknown", "Pending")
        assert found.message.startswith(
            "No controller has reported on Gateway gateways/public, listener https yet"
        )
        assert "kubectl get gateway -n gateways" in found.message
        assert "internal" not in found.message


@pytest.mark.parametrize(
    "report",
    [_report(_PUBLIC, generation=2), _report(_PUBLIC, resolved=None), _report(_PUBLIC, "False", generation=2)],
)
def test_a_report_on_an_older_generation_does_not_count(report: dict[str, Any]) -> None:
    found = _gateway_ready(_route(report, _report(_INTERNAL)))
    assert (found.status, found.reason) == ("Unknown", "Pending")
    assert "example.org/controller has not observed the newest generation yet" in found.message


def test_a_report_without_a_generation_counts() -> None:
    report = _report(_INTERNAL)
    for condition in report["conditions"]:
        del condition["observedGeneration"]
    assert _gateway_ready(_route(report, parents=(_INTERNAL,))).status == "True"


@pytest.mark.parametrize(
    ("accepted", "resolved", "kind"), [("False", "True", "Accepted"), ("True", "False", "ResolvedRefs")]
)
def test_the_reason_and_message_of_a_gateway_are_passed_on(accepted: str, resolved: str, kind: str) -> None:
    found = _gateway_ready(_route(_report(_INTERNAL), _report(_PUBLIC, accepted, resolved)))
    assert (found.status, found.reason) == ("False", f"Not{kind}")
    assert found.message == f"Gateway gateways/public, listener https: {kind} is False"


def test_a_refusal_is_reported_before_a_missing_report() -> None:
    assert _gateway_ready(_route(_report(_INTERNAL, "False"))).reason == "NotAccepted"


def test_the_report_of_a_former_controller_does_not_hide_that_of_the_current_one() -> None:
    former = _report(_INTERNAL, generation=1, by="example.org/former")
    for accepted in ("True", "False"):
        found = _gateway_ready(_route(former, _report(_INTERNAL, accepted), parents=(_INTERNAL,)))
        assert found.status == accepted
