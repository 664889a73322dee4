"""The server's settings for traces: the standard environment variables of OpenTelemetry.

They follow the OpenTelemetry specification and its semantic conventions for Kubernetes: the service name is the
name of the ImageClassifier, the service namespace is its namespace, and a service instance is one container of one
pod.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.naming import child_name

if TYPE_CHECKING:
    from imageclassifier_operator.api import ImageClassifier

_HEADERS_VARIABLE = "OTEL_EXPORTER_OTLP_HEADERS"
"""The key in the Secret has the same name."""

_POD_FIELD_VARIABLES = {
    "OTEL_RESOURCE_ATTRIBUTES_POD_NAME": "metadata.name",
    "OTEL_RESOURCE_ATTRIBUTES_POD_UID": "metadata.uid",
    "OTEL_RESOURCE_ATTRIBUTES_NODE_NAME": "spec.nodeName",
}
"""Fields of the pod, by variable. OpenTelemetry does not read these: OTEL_RESOURCE_ATTRIBUTES refers to them."""


def env(ic: ImageClassifier, *, container: str) -> list[dict[str, Any]]:
    """Return the variables of one container; without tracing, there are none."""
    tracing = ic.spec.tracing
    if tracing is None:
        return []
    # These come first: the kubelet expands `$(NAME)` only for variables earlier in the list.
    result: list[dict[str, Any]] = [
        {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}
        for name, path in _POD_FIELD_VARIABLES.items()
    ]
    # Names of Kubernetes objects need no percent-encoding. The only `$(NAME)` in them refer to the pod's fields.
    attributes = _resource_attributes(ic, container)
    values = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": tracing.endpoint,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": str((Decimal(tracing.sampling_percent) / 100).normalize()),
        "OTEL_SERVICE_NAME": ic.name,
        "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{key}={value}" for key, value in attributes.items()),
    }
    result += [{"name": name, "value": value} for name, value in values.items()]
    if tracing.headers_secret is not None:
        secret = {"name": tracing.headers_secret, "key": _HEADERS_VARIABLE}
        result.append({"name": _HEADERS_VARIABLE, "valueFrom": {"secretKeyRef": secret}})
    return result


def _resource_attributes(ic: ImageClassifier, container: str) -> dict[str, str]:
    pod, uid, node = (f"$({name})" for name in _POD_FIELD_VARIABLES)
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
