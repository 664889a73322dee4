"""The parts of the API that make the Service reachable from outside the cluster."""

from typing import Annotated

from pydantic import Field

from imageclassifier_operator.api.declaration import Part, Text, integer, items, rule
from imageclassifier_operator.api.field_types import (
    Annotations,
    Hostname,
    NamespaceName,
    ObjectName,
    SecretName,
)

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
"""An older form of the class; the API server rejects an Ingress with both."""

IngressPath = Annotated[
    str,
    Text(
        512,
        min_length=1,
        pattern=r"^(/\.?[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?$",
        expected="an absolute path such as / or /api/v1",
    ),
]


class Ingress(Part):
    """Ingress exposes the Service on a host name, by an Ingress. If absent, there is none.

    The condition IngressReady has the address that the ingress controller reports.
    """

    host: Hostname
    """Host name that clients use. *.example.org stands for every name one level below example.org."""

    class_name: ObjectName | None = None
    """IngressClass of the controller that serves the Ingress. By default the cluster's default class,
    which Kubernetes sets when the Ingress is created."""

    tls_secret_name: SecretName | None = None
    """Secret of type kubernetes.io/tls in this namespace, with the certificate of the host. The ingress controller
    reads it, the operator does not. If absent, the Ingress has no TLS."""

    path: IngressPath = "/"
    """Which paths are served: this one, and those below it. It reaches the server unchanged, so useful values are
    the server's own paths: / for all of them, which includes /metrics, or /api/v1 or /v2 for one API."""

    annotations: Annotations = {}
    """Annotations of the Ingress, such as those that the controller or a certificate issuer is configured by. Keys
    that begin with imageclassifier.dev/ are reserved for the operator."""

    @rule(
        message="give either className or the annotation kubernetes.io/ingress.class, not both",
        cel=f"!has(self.className) || !has(self.annotations) || !('{CLASS_ANNOTATION}' in self.annotations)",
    )
    def _one_class(self) -> bool:
        return self.class_name is None or CLASS_ANNOTATION not in self.annotations


class ParentRef(Part):
    """A Gateway, or one of its listeners."""

    name: ObjectName
    """Name of the Gateway."""

    namespace: NamespaceName | None = None
    """Namespace of the Gateway. By default the one of this object. The Gateway must allow routes from here."""

    section_name: ObjectName | None = None
    """Name of a listener of the Gateway. By default every listener that fits."""

    port: Annotated[int, integer(1, 65_535)] | None = None
    """Port of the listeners. By default every port. Not every controller supports it."""


_SAME_GATEWAY = (
    "q.name == p.name && has(q.__namespace__) == has(p.__namespace__) && "
    "(!has(q.__namespace__) || q.__namespace__ == p.__namespace__)"
)


class Gateway(Part):
    """Gateway exposes the Service through Gateways, by an HTTPRoute. If absent, there is none.

    It needs the Gateway API (gateway.networking.k8s.io/v1). The condition GatewayReady has what the controllers of
    the Gateways report. All paths of the server are reachable, which includes /metrics. TLS is configured in the
    Gateway.
    """

    parent_refs: Annotated[tuple[ParentRef, ...], items(16, min_items=1, list_type="atomic")]
    """The Gateways."""

    hostnames: Annotated[
        tuple[Annotated[Hostname, Field(description="A host name.")], ...], items(16, list_type="set")
    ] = ()
    """Host names that clients use, such as pets.example.org or *.example.org. By default those of the Gateway's
    listeners."""

    @rule(
        message="parentRefs of the same Gateway require different sectionNames",
        field="parentRefs",
        cel=f"!has(self.parentRefs) || self.parentRefs.all(p, self.parentRefs.exists_one(q, {_SAME_GATEWAY} && "
        "(!has(p.sectionName) || (has(q.sectionName) && q.sectionName == p.sectionName))))",
    )
    def _distinct_parents(self) -> bool:
        return all(len(self._same_parents(parent)) == 1 for parent in self.parent_refs)

    def _same_parents(self, parent: ParentRef) -> list[ParentRef]:
        """Return the parentRefs that are, or contain, the same listener."""
        return [
            other
            for other in self.parent_refs
            if (other.name, other.namespace) == (parent.name, parent.namespace)
            and parent.section_name in {None, other.section_name}
        ]
