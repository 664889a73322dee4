"""The parts of the API that make the Service reachable from outside the cluster."""

from typing import Annotated

from imageclassifier_operator.api.declaration import Part, Text, rule
from imageclassifier_operator.api.field_types import Annotations, Hostname, ObjectName, SecretName

_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
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
    """IngressClass of the controller that serves the Ingress. By default the cluster's default class."""

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
        cel=f"!has(self.className) || !has(self.annotations) || !('{_CLASS_ANNOTATION}' in self.annotations)",
    )
    def _one_class(self) -> bool:
        return self.class_name is None or _CLASS_ANNOTATION not in self.annotations
