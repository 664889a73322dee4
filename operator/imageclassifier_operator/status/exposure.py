"""The conditions of what makes the Service reachable from outside the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageclassifier_operator.status.optional import problem_verdict
from imageclassifier_operator.status.types import ObservedChild, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from imageclassifier_operator.api import Spec


def ingress_ready(spec: Spec, ingress: ObservedChild) -> Verdict:
    """Return IngressReady: whether an ingress controller has set an address in the status of the Ingress."""
    if spec.ingress is None:
        return Verdict(status="False", reason="NotRequested", message="spec.ingress is absent")
    if ingress.problem is not None:
        return problem_verdict(ingress.problem)
    if ingress.live is None:
        return Verdict(status="False", reason="Pending", message="Creating the Ingress")
    addresses = _addresses(ingress.live)
    if addresses:
        message = f"{spec.ingress.host} is served at {', '.join(addresses)}"
        return Verdict(status="True", reason="AddressAssigned", message=message)
    if spec.ingress.class_name is None:
        remedy = (
            "set spec.ingress.className, unless the cluster has a default IngressClass (kubectl get ingressclass)"
        )
    else:
        name = spec.ingress.class_name
        remedy = f"check that the controller of IngressClass {name} is installed (kubectl get ingressclass {name})"
    message = f"No ingress controller has set an address in the Ingress yet; {remedy}"
    return Verdict(status="Unknown", reason="AddressPending", message=message)


def _addresses(ingress: Mapping[str, Any]) -> list[str]:
    """Return the host names and IP addresses of the load balancer."""
    entries = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return [address for entry in entries if (address := entry.get("hostname") or entry.get("ip"))]
