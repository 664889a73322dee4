"""The server's settings for traces: the standard environment variables of OpenTelemetry.

From the OpenTelemetry specification and its semantic conventions for Kubernetes: a service is an ImageClassifier,
its namespace that of the object, an instance one container of one pod.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.naming import child_name

if TYPE_CHECKING:
    from imageclassifier_operator.api import ImageClassifier

HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
_FROM_POD = {
    "OTEL_RESOURCE_ATTRIBUTES_POD_NAME": "metadata.name",
    "OTEL_RESOURCE_ATTRIBUTES_POD_UID": "metadata.uid",
    "OTEL_RESOURCE_ATTRIBUTES_NODE_NAME": "spec.nodeName",
}


def env(ic: ImageClassifier, *, container: str) -> list[dict[str, Any]]:
    """Return the variables of a container of this object, none without tracing."""
    tracing = ic.spec.tracing
    if tracing is None:
        return []
    found: list[dict[str, Any]] = [
        {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}
        for name, path in _FROM_POD.items()
    ]
    # Names of Kubernetes objects need no percent-encoding, and contain no `$(NAME)` for the kubelet to expand.
    values = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": tracing.endpoint,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": str((Decimal(tracing.sampling_percent) / 100).normalize()),
        "OTEL_SERVICE_NAME": ic.name,
        "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{key}={value}" for key, value in _resource(ic, container).items()),
    }
    found += [{"name": name, "value": value} for name, value in values.items()]
    if tracing.headers_secret is not None:
        secret = {"name": tracing.headers_secret, "key": HEADERS}
        found.append({"name": HEADERS, "valueFrom": {"secretKeyRef": secret}})
    return found


def _resource(ic: ImageClassifier, container: str) -> dict[str, str]:
    pod, uid, node = (f"$({name})" for name in _FROM_POD)
    return {
        "service.namespace": ic.namespace,
        "service.instance.id": f"{ic.namespace}.{pod}.{container}",
        "k8s.namespace.name": ic.namespace,
        "k8s.deployment.name": child_name(ic.name),
        "k8s.pod.name": pod,
        "k8s.pod.uid": uid,
        "k8s.node.name": node,
        "k8s.container.name": container,
    }
