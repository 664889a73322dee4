"""The table of the children of an ImageClassifier: one row for each kind.

Apply order, pruning, watches, discovery and the conditions of children are derived from the table. To add a child,
add a row here, its builder in `manifests`, a golden file, and its rule in the chart's `_rules.tpl`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.kube import Resource
from imageclassifier_operator.manifests import (
    deployment,
    horizontalpodautoscaler,
    httproute,
    ingress,
    networkpolicy,
    poddisruptionbudget,
    service,
    serviceaccount,
    servicemonitor,
)
from imageclassifier_operator.status import Condition
from imageclassifier_operator.status.exposure import gateway_ready, ingress_ready
from imageclassifier_operator.status.optional import autoscaler_version, autoscaling_ready, monitoring_ready

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imageclassifier_operator.manifests import Capabilities, Params


@dataclass(frozen=True, kw_only=True)
class Child:
    """One kind of child.

    resource: the API of this kind.
    build: returns the manifest without `apiVersion` and `kind`, which come from `resource`.
    optional: whether a spec can leave this child out; `build` then returns None, and an existing child is deleted.
    capability: the field of `Capabilities` that says whether the API server serves this kind; None if all do.
    condition: the condition that reports this child. A problem of the child is then not a reason for `Ready` to be
        False, unless it is a name conflict; without a condition, it is.
    unsupported: returns a sentence about a field of the spec that the API server is too old for, or None.
    version: returns a digest of what the operator uses of a live object, if the status changes all the time.
    """

    resource: Resource
    build: Callable[[Params], dict[str, Any] | None]
    optional: bool = False
    capability: str | None = None
    condition: Condition | None = None
    unsupported: Callable[[Params], str | None] = lambda _: None
    version: Callable[[Mapping[str, Any]], str] | None = None

    @property
    def kind(self) -> str:
        """The kind, which is the key of live children, problems and conditions."""
        return self.resource.kind

    def served(self, capabilities: Capabilities) -> bool:
        """Whether the API server serves this kind."""
        return self.capability is None or bool(getattr(capabilities, self.capability))

    def manifest(self, params: Params) -> dict[str, Any] | None:
        """Return the whole manifest, or None if the spec does not request this child."""
        built = self.build(params)
        if built is not None:
            return {"apiVersion": self.resource.group_version, "kind": self.kind, **built}
        if not self.optional:
            raise ValueError(f"the builder of {self.kind}, which is not optional, returned None")
        return None


DEPLOYMENT = Child(
    resource=Resource("apps/v1", "deployments", "Deployment"),
    build=deployment.build,
    unsupported=deployment.unsupported,
)

AUTOSCALER = Child(
    resource=Resource("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    build=horizontalpodautoscaler.build,
    optional=True,
    condition=Condition("AutoscalingReady", autoscaling_ready),
    unsupported=horizontalpodautoscaler.unsupported,
    version=autoscaler_version,
)

CHILDREN = (
    Child(resource=Resource("v1", "serviceaccounts", "ServiceAccount"), build=serviceaccount.build),
    Child(
        resource=Resource("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy"),
        build=networkpolicy.build,
        optional=True,
    ),
    DEPLOYMENT,
    Child(
        resource=Resource("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget"),
        build=poddisruptionbudget.build,
        optional=True,
    ),
    Child(resource=Resource("v1", "services", "Service"), build=service.build, unsupported=service.unsupported),
    Child(
        resource=Resource("networking.k8s.io/v1", "ingresses", "Ingress"),
        build=ingress.build,
        optional=True,
        condition=Condition("IngressReady", ingress_ready),
    ),
    Child(
        resource=Resource("gateway.networking.k8s.io/v1", "httproutes", "HTTPRoute"),
        build=httproute.build,
        optional=True,
        capability="http_routes",
        condition=Condition("GatewayReady", gateway_ready),
    ),
    AUTOSCALER,
    Child(
        resource=Resource("monitoring.coreos.com/v1", "servicemonitors", "ServiceMonitor"),
        build=servicemonitor.build,
        optional=True,
        capability="service_monitors",
        condition=Condition("MonitoringReady", monitoring_ready),
    ),
)
"""In the order in which they are applied: pods need their ServiceAccount and must not start without their
NetworkPolicy, the autoscaler needs its Deployment."""

CONDITIONS: Mapping[str, Condition] = {
    child.kind: child.condition for child in CHILDREN if child.condition is not None
}
"""The conditions of children by the child's kind; children without a condition are not in it."""


def build_all(params: Params) -> dict[Child, dict[str, Any]]:
    """Return the manifest of every desired child, in the order in which they are applied."""
    manifests = ((child, child.manifest(params)) for child in CHILDREN)
    return {child: manifest for child, manifest in manifests if manifest is not None}


def unsupported_fields(params: Params) -> dict[str, str]:
    """Return, by kind of child, the sentence about a field that the API server is too old for."""
    found = {child.kind: child.unsupported(params) for child in CHILDREN}
    return {kind: sentence for kind, sentence in found.items() if sentence is not None}
