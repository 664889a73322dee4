"""The conditions of what makes the Service reachable from outside the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageclassifier_operator.api.exposure import CLASS_ANNOTATION
from imageclassifier_operator.status.optional import unapplied_verdict
from imageclassifier_operator.status.types import ObservedChild, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from imageclassifier_operator.api import Spec


def ingress_ready(spec: Spec, ingress: ObservedChild) -> Verdict:
    """Return IngressReady: whether an ingress controller has set an address in the status of the Ingress."""
    if spec.ingress is None:
        return Verdict(status="False", reason="NotRequested", message="spec.ingress is absent")
    if ingress.live is None or ingress.problem is not None:
        return unapplied_verdict(ingress, "Ingress")
    addresses = _addresses(ingress.live)
    if addresses:
        message = f"{spec.ingress.host} is served at {', '.join(addresses)}"
        return Verdict(status="True", reason="AddressAssigned", message=message)
    name = (ingress.live.get("spec") or {}).get(
        "ingressClassName"
    )  # without one in the spec, the cluster's default
    if name is None and _has_class(ingress.live):
        remedy = f"check that a controller serves the class in the annotation {CLASS_ANNOTATION}"
    elif name is None:
        remedy = "it has no IngressClass: set spec.ingress.className (kubectl get ingressclass)"
    else:
        remedy = f"check that the controller of IngressClass {name} is installed (kubectl get ingressclass {name})"
    message = f"No ingress controller has set an address in the Ingress yet; {remedy}"
    return Verdict(status="Unknown", reason="AddressPending", message=message)


def _has_class(ingress: Mapping[str, Any]) -> bool:
    """Whether the Ingress names its class, in its spec or in the annotation that was used before."""
    annotations = (ingress.get("metadata") or {}).get("annotations") or {}
    return bool((ingress.get("spec") or {}).get("ingressClassName") or annotations.get(CLASS_ANNOTATION))


def _addresses(ingress: Mapping[str, Any]) -> list[str]:
    """Return the host names and IP addresses of the load balancer."""
    entries = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return [address for entry in entries if (address := entry.get("hostname") or entry.get("ip"))]


def gateway_ready(spec: Spec, route: ObservedChild) -> Verdict:
    """Return GatewayReady: what the controllers of the Gateways report in the status of the HTTPRoute.

    It is True if every Gateway has accepted the route.
    """
    if spec.gateway is None:
        return Verdict(status="False", reason="NotRequested", message="spec.gateway is absent")
    if route.live is None or route.problem is not None:
        return unapplied_verdict(route, "HTTPRoute", "gateway.networking.k8s.io/v1")
    verdicts = [_parent_verdict(route.live, parent) for parent in route.live["spec"].get("parentRefs") or []]
    if not verdicts:  # an admission policy or webhook has removed them
        return Verdict(status="False", reason="NoGateway", message="The HTTPRoute refers to no Gateway")
    worst = min(verdicts, key=lambda verdict: ("False", "Unknown", "True").index(verdict.status))
    message = "; ".join(verdict.message for verdict in verdicts if verdict.status == worst.status)
    return Verdict(status=worst.status, reason=worst.reason, message=message)


def _parent_verdict(route: Mapping[str, Any], parent: Mapping[str, Any]) -> Verdict:
    """Return the verdict about one Gateway: the best one, if several controllers have reported on it."""
    metadata = route["metadata"]
    namespace, generation = metadata["namespace"], metadata.get("generation", 0)
    name = _parent_name(parent, namespace)
    verdicts = [
        _report_verdict(report, name, generation)
        for report in (route.get("status") or {}).get("parents") or []
        if _parent_key(report["parentRef"], namespace) == _parent_key(parent, namespace)
    ]
    if verdicts:
        return max(verdicts, key=lambda verdict: ("Unknown", "False", "True").index(verdict.status))
    message = (
        f"No controller has reported on {name} yet; check that the Gateway exists, and that the controller of its "
        f"GatewayClass is installed (kubectl get gateway -n {parent.get('namespace') or namespace})"
    )
    return Verdict(status="Unknown", reason="Pending", message=message)


def _report_verdict(report: Mapping[str, Any], name: str, generation: int) -> Verdict:
    """Return the verdict of one controller about one Gateway: its first condition that is not True, if any."""
    conditions = {condition["type"]: condition for condition in report.get("conditions") or []}
    for condition_type in ("Accepted", "ResolvedRefs"):
        condition = conditions.get(condition_type)
        if condition is None or condition.get("observedGeneration", generation) < generation:
            message = f"{name}: {report['controllerName']} has not observed the newest generation yet"
            return Verdict(status="Unknown", reason="Pending", message=message)
        if condition["status"] != "True":
            reason = condition.get("reason") or condition_type
            message = f"{name}: {condition.get('message') or reason}"
            return Verdict(status=condition["status"], reason=reason, message=message)
    return Verdict(status="True", reason="Accepted", message=f"{name} has accepted the HTTPRoute")


def _parent_key(parent: Mapping[str, Any], namespace: str) -> tuple[Any, ...]:
    """Return what identifies a parent, with the defaults of its optional fields."""
    return (
        parent.get("group", "gateway.networking.k8s.io"),
        parent.get("kind", "Gateway"),
        parent.get("namespace") or namespace,
        parent["name"],
        parent.get("sectionName"),
        parent.get("port"),
    )


def _parent_name(parent: Mapping[str, Any], namespace: str) -> str:
    name = f"Gateway {parent.get('namespace') or namespace}/{parent['name']}"
    return f"{name}, listener {parent['sectionName']}" if parent.get("sectionName") else name
