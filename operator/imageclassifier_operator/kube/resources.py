"""The kinds that the operator reads and writes, and where the API server has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api import GROUP, KIND, PLURAL, VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Resource:
    """A kind with its REST path."""

    group_version: str
    plural: str
    kind: str

    def path(
        self, *, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """Return the path of an object, or of the list in one or all namespaces."""
        root = "/api" if "/" not in self.group_version else "/apis"
        parts = [root, self.group_version]
        if namespace is not None:
            parts += ["namespaces", namespace]
        return "/".join([*parts, self.plural, *(part for part in (name, subresource) if part)])


CLASSIFIERS = Resource(f"{GROUP}/{VERSION}", PLURAL, KIND)
SERVICE_ACCOUNTS = Resource("v1", "serviceaccounts", "ServiceAccount")
SERVICES = Resource("v1", "services", "Service")
PODS = Resource("v1", "pods", "Pod")
EVENTS = Resource("v1", "events", "Event")
DEPLOYMENTS = Resource("apps/v1", "deployments", "Deployment")
REPLICA_SETS = Resource("apps/v1", "replicasets", "ReplicaSet")
SERVICE_MONITORS = Resource("monitoring.coreos.com/v1", "servicemonitors", "ServiceMonitor")
AUTOSCALERS = Resource("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")

_PLURALS = {
    resource.kind: resource.plural
    for resource in (SERVICE_ACCOUNTS, SERVICES, DEPLOYMENTS, SERVICE_MONITORS, AUTOSCALERS)
}


def resource_of(manifest: Mapping[str, Any]) -> Resource:
    """Return the resource that a manifest is of."""
    return Resource(manifest["apiVersion"], _PLURALS[manifest["kind"]], manifest["kind"])
