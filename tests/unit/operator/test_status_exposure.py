"""IngressReady: what an ingress controller reports."""

from __future__ import annotations

from typing import Any

from imageclassifier_operator.api import ModelSource, Spec
from imageclassifier_operator.api.exposure import Ingress
from imageclassifier_operator.status import ObservedChild, Problem
from imageclassifier_operator.status.exposure import ingress_ready
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
    statuses: list[dict[str, Any]] = [{}, {"loadBalancer": {}}, {"loadBalancer": {"ingress": [{}]}}]
    for status in statuses:
        found = _ingress_ready({"status": status})
        assert (found.status, found.reason) == ("Unknown", "AddressPending")
        assert "controller of IngressClass haproxy is installed" in found.message
    without_class = _ingress_ready({}, ingress=Ingress(host="pets.example.org"))
    assert "set spec.ingress.className" in without_class.message
