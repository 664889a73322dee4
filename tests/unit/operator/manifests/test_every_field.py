"""Every field of the schema has an effect: another value changes a manifest."""

from __future__ import annotations

from typing import Any

import pytest

from tests import crd
from tests.unit.operator.manifests.building import built

_SHA256 = "501096f942c4064c5a6a9aa1cd6afa840b16147a7910f7373a809c9f99cb6370"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_POOL = {"key": "example.org/pool", "operator": "Exists"}
_OTHER_VALUES: dict[str, Any] = {
    "model.name": "mobilenet-v2",
    "model.uri": "https://models.example.org/other.onnx",
    "model.sha256": "0" * 64,
    "model.credentialsSecretRef.name": "model-store",
    "model.s3.endpoint": "http://minio.storage.svc:9000",
    "model.s3.region": "eu-central-1",
    "model.s3.addressing": "Path",
    "model.precision": "Auto",
    "replicas": 3,
    "autoscaling.minReplicas": 3,
    "autoscaling.maxReplicas": 9,
    "autoscaling.targetCPUUtilization": 50,
    "autoscaling.targetMemoryUtilization": 80,
    **{
        f"autoscaling.behavior.{direction}.{field}": value
        for direction in ("scaleUp", "scaleDown")
        for field, value in {
            "stabilizationWindowSeconds": 7,
            "selectPolicy": "Min",
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
            "tolerance": 5,
        }.items()
    },
    "resources.requests.cpu": "200m",
    "resources.requests.memory": "300Mi",
    "resources.requests.ephemeral-storage": "128Mi",
    "resources.limits.cpu": 2,
    "resources.limits.memory": "1Gi",
    "resources.limits.ephemeral-storage": "2Gi",
    "limits.maxImageBytes": "5Mi",
    "limits.maxImagePixels": 1_000_000,
    "limits.maxQueueSize": 1,
    "cache.maxBytes": "8Mi",
    "cache.redis.url": "redis://other.vision.svc",
    "cache.redis.credentialsSecretRef.name": "redis-login",
    "cache.redis.ttlSeconds": 60,
    "batching.maxBatchSize": 4,
    "batching.maxQueueDelayMilliseconds": 5,
    "runtime.image": "registry.example.org/team/server:1.2",
    "runtime.imagePullPolicy": "Always",
    "runtime.imagePullSecrets": [{"name": "registry"}],
    "runtime.serviceAccountName": "shared",
    "runtime.serviceAccountAnnotations": {"example.org/role": "reader"},
    "runtime.podLabels": {"team": "vision"},
    "runtime.podAnnotations": {"example.org/cost-center": "4711"},
    "runtime.env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "runtime.caConfigMapRef.name": "corporate-ca",
    "runtime.hostUsers": False,
    "scheduling.nodeSelector": {"kubernetes.io/arch": "amd64"},
    "scheduling.tolerations": [{"operator": "Exists"}],
    f"scheduling.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms": [{"matchExpressions": [_POOL]}],
    f"scheduling.affinity.nodeAffinity.{_PREFERRED}": [
        {"weight": 1, "preference": {"matchExpressions": [_POOL]}},
    ],
    **{
        f"scheduling.affinity.{kind}.{field}": value
        for kind in ("podAffinity", "podAntiAffinity")
        for field, value in {
            _REQUIRED: [{"topologyKey": "kubernetes.io/hostname"}],
            _PREFERRED: [{"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}}],
        }.items()
    },
    "scheduling.priorityClassName": "serving",
    "scheduling.runtimeClassName": "gvisor",
    "scheduling.spread": "Off",
    "disruption.budget": "Disabled",
    "disruption.maxUnavailable": 2,
    "service.type": "NodePort",
    "service.port": 8080,
    "service.annotations": {"example.org/load-balancer": "internal"},
    "service.trafficDistribution": "PreferClose",
    "ingress.host": "*.example.org",
    "ingress.className": "haproxy",
    "ingress.tlsSecretName": "pets-tls",
    "ingress.path": "/api/v1",
    "ingress.annotations": {"cert-manager.io/issuer": "letsencrypt"},
    "gateway.parentRefs": [{"name": "public", "namespace": "gateways"}],
    "gateway.hostnames": ["pets.example.org"],
    "networkPolicy.allowFrom": [{"podSelector": {}}],
    "networkPolicy.allowMetricsFrom": [],
    "monitoring.serviceMonitor": "Disabled",
    "monitoring.interval": "1m",
    "monitoring.labels": {"release": "prometheus"},
    "tracing.otlpEndpoint": "https://collector.example.org/otlp",
    "tracing.samplingPercent": 0,
    "tracing.headersSecretRef.name": "collector-headers",
    "security.apiKeysSecretRef.name": "pets-keys",
    "security.rateLimit.requestsPerSecond": 50,
    "security.rateLimit.burst": 100,
    "security.trustedProxies": ["10.0.0.0/8"],
    "rollout.maxSurge": 2,
    "rollout.maxUnavailable": 1,
    "rollout.drainSeconds": 1,
}

_NOT_IN_MANIFESTS = {"upgrade", "paused"}
"""They decide whether manifests are applied (test_history.py, test_reconcile.py)."""


def _base(path: str) -> dict[str, Any]:
    if path.startswith("model.s3."):
        return {"model": {"uri": "s3://models/one.onnx", "sha256": _SHA256, "s3": {}}}
    if path.startswith("model.") and path != "model.name":
        return {"model": {"uri": "https://models.example.org/one.onnx", "sha256": _SHA256}}
    if path.startswith("tracing."):
        return {"tracing": {"otlpEndpoint": "http://collector:4318"}}
    if path.startswith("security.rateLimit."):
        return {"security": {"rateLimit": {"requestsPerSecond": 1}}}
    if path.startswith("cache."):
        return {"cache": {"redis": {"url": "redis://redis.vision.svc"}}}
    if path.startswith("batching."):
        return {"batching": {"maxBatchSize": 8}}
    if path.startswith("ingress."):
        return {"ingress": {"host": "pets.example.org"}}
    if path.startswith("gateway."):
        return {"gateway": {"parentRefs": [{"name": "public"}]}}
    if path.startswith("networkPolicy."):
        return {"networkPolicy": {}}
    if path.startswith("disruption."):
        return {"replicas": 2}
    return {"autoscaling": {}} if path.startswith("autoscaling.") else {}


def _with(spec: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    head, _, rest = path.partition(".")
    inner = _with(spec.get(head, {}), rest, value) if rest else value
    return {**spec, head: inner}


def test_the_table_has_every_field_of_the_schema() -> None:
    fields = {
        path
        for path, node in crd.nodes(crd.schema()["properties"]["spec"])
        if path and not any(sign in path for sign in "[{") and "properties" not in node
    }
    assert fields == {*_OTHER_VALUES, *_NOT_IN_MANIFESTS}


@pytest.mark.parametrize("path", _OTHER_VALUES)
def test_another_value_changes_a_manifest(path: str) -> None:
    base = _base(path)
    changed = _with(base, path, _OTHER_VALUES[path])
    assert not crd.schema_errors({"metadata": {}, "spec": changed})
    assert built(changed) != built(base)
