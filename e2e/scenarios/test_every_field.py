"""An object with every field of the API serves and is written once; every field can be taken away again.

The object is the sample `every-field`, so a new field is part of this scenario. Only values are replaced, such as
the names of servers outside the object. An IngressClass, a TLS Secret and a Gateway need not exist: nothing here
reads them.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml
from imageclassifier_operator.api.v1alpha1 import ImageClassifierSpec

from e2e import audit, model_store, private_servers, redis_store, trace_receiver
from e2e.classifiers import (
    CHILDREN,
    CLASSIFY,
    children,
    comparable,
    condition,
    manifest,
    variant,
    wait_for,
    wait_for_endpoint,
    wait_for_response,
    wait_until_ready,
)
from e2e.cluster.pki import Authority
from e2e.install import OPERATOR_USER
from e2e.waiting import until
from tools.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from e2e.classifiers import Endpoint
    from e2e.cluster.api import Object
    from e2e.kube import Kube

_SAMPLE = yaml.safe_load((REPOSITORY / "crds" / "samples" / "valid" / "every-field.yaml").read_text())
_NAME: str = _SAMPLE["metadata"]["name"]
_ALWAYS = {"deployments", "serviceaccounts", "services", "servicemonitors"}
"""The children of an object with an empty spec."""

_SWITCHED_OFF = {
    "disruption": ({"budget": "Disabled"}, "poddisruptionbudgets"),
    "ingress": (None, "ingresses"),
    "gateway": (None, "httproutes"),
    "networkPolicy": (None, "networkpolicies"),
    "monitoring": ({"serviceMonitor": "Disabled"}, "servicemonitors"),
    "autoscaling": (None, "horizontalpodautoscalers"),
}
"""The parts with a child of their own, in the order in which they are switched off: to what, and that child."""

_NO_CHILD_CHANGES = {"upgrade", "paused", "replicas"}
_LAST = {"resources"}
"""The limits that the other parts need are removed after them."""

_KEY = "e2e-every-field-0123456789abcdef"
_REDIS_PASSWORD = "e2e-every-field-redis"
_TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
_ZONE = "topology.kubernetes.io/zone"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_REST_SECONDS = 5.0
_REDIS_HIT = re.compile(r'^imageclassifier_cache_requests_total\{result="redis_hit"\} [1-9]', re.MULTILINE)


def _secret(namespace: str, name: str, kind: str = "Opaque", **data: str) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "stringData": data}


def _surroundings(spec: Object, namespace: str, authority: Authority) -> list[Object]:
    """Return what the spec names: Secrets, CA certificates, a ServiceAccount, a PriorityClass, a RuntimeClass."""
    runtime, scheduling = spec["runtime"], spec["scheduling"]
    registry = runtime["imagePullSecrets"][0]["name"]
    account = {"name": runtime["serviceAccountName"], "namespace": namespace}
    keys = {"AWS_ACCESS_KEY_ID": model_store.S3_ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": "e2e-secret-value"}
    redis = {redis_store.PASSWORD_KEY: _REDIS_PASSWORD, "username": "default"}
    return [
        _secret(namespace, spec["model"]["credentialsSecretRef"]["name"], **keys),
        _secret(
            namespace, spec["cache"]["redis"]["credentialsSecretRef"]["name"], "kubernetes.io/basic-auth", **redis
        ),
        _secret(
            namespace,
            registry,
            "kubernetes.io/dockerconfigjson",
            **{".dockerconfigjson": json.dumps({"auths": {}})},
        ),
        _secret(namespace, spec["tracing"]["headersSecretRef"]["name"], OTEL_EXPORTER_OTLP_HEADERS="api-key=e2e"),
        _secret(namespace, spec["security"]["apiKeysSecretRef"]["name"], ann=_KEY),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
        private_servers.ca_config_map(namespace, runtime["caConfigMapRef"]["name"], authority),
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": scheduling["priorityClassName"]},
            "value": 1000,
            "preemptionPolicy": "Never",
        },
        {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": scheduling["runtimeClassName"]},
            "handler": "runc",
        },
    ]


def _replace(spec: Object, values: Mapping[str, Any]) -> None:
    """Replace values of the spec, by their paths. Raises KeyError, IndexError if there is none at a path."""
    for path, value in values.items():
        *parents, last = path.split(".")
        part: Any = spec
        for step in parents:
            part = part[int(step) if step.isdigit() else step]
        assert part[last] != value, path
        part[last] = value


@pytest.fixture
def spec(kube: Kube, namespace: str, images: Mapping[str, str], store: str, tmp_path: Path) -> Iterator[Object]:
    """The spec of the sample with the values of this cluster, and everything that it names."""
    if not kube.target.local:
        pytest.skip("labels the node, and copies a program from this machine into the cluster")
    result: Object = json.loads(json.dumps(_SAMPLE["spec"]))
    (node,) = kube.list("nodes")
    node_name, existing = node["metadata"]["name"], node["metadata"]["labels"]
    near = f"scheduling.affinity.podAffinity.{_REQUIRED}.0"
    _replace(
        result,
        {
            "model.uri": f"s3://{model_store.S3_BUCKET}/pets/",
            "model.sha256": model_store.bundled_digest(kube, store),
            "model.s3.endpoint": model_store.endpoint(store),
            "cache.redis.url": f"{redis_store.url(namespace, tls=True)}/1",
            "runtime.image": images["runtime"],
            "runtime.imagePullPolicy": "IfNotPresent",
            "runtime.hostUsers": True,  # containerd of the local cluster has no user namespaces
            "tracing.otlpEndpoint": trace_receiver.endpoint(namespace),
            f"{near}.namespaces": [store],
            # for one node with two cores, and without waiting
            "replicas": 2,
            "autoscaling.minReplicas": 2,
            "autoscaling.maxReplicas": 3,
            "resources.requests.cpu": "100m",
            "resources.requests.memory": "256Mi",
            "rollout.drainSeconds": 1,
        },
    )
    (term,) = result["scheduling"]["affinity"]["nodeAffinity"][_REQUIRED]["nodeSelectorTerms"]
    labels = {each["key"]: each["values"][0] for each in term["matchExpressions"]} | {_ZONE: "e2e"}
    labels |= result["scheduling"]["nodeSelector"]
    added = {key: value for key, value in labels.items() if existing.get(key) != value}
    authority = Authority(tmp_path, "ca")
    certificate = authority.issue("redis", user="redis", hosts=[redis_store.host(namespace)])
    outside = _surroundings(result, namespace, authority)
    try:
        kube.patch("nodes", node_name, {"metadata": {"labels": added}})
        kube.apply(
            *outside,
            *redis_store.manifests(namespace, images["runtime"]),
            *trace_receiver.manifests(namespace, images["runtime"]),
        )
        redis_store.start(kube, namespace, certificate=certificate)
        trace_receiver.wait_for_receiver(kube, namespace)
        yield result
    finally:
        kube.patch("nodes", node_name, {"metadata": {"labels": {key: existing.get(key) for key in added}}})
        for each in outside:
            if "namespace" not in each["metadata"]:
                kube.kubectl(
                    "delete", each["kind"], each["metadata"]["name"], "--ignore-not-found", "--wait=false"
                )


def test_every_field_is_applied_once_and_can_be_taken_away(
    kube: Kube, namespace: str, spec: Object, photograph: bytes
) -> None:
    kube.apply(manifest(_NAME, namespace=namespace, spec=spec))
    live = wait_until_ready(kube, _NAME, namespace=namespace)
    uid = live["metadata"]["uid"]
    kube.apply(manifest("born-empty", namespace=namespace, spec={}))
    _check_requests(kube, namespace, wait_for_endpoint(kube, _NAME, namespace=namespace), photograph)
    print(kube.kubectl("get", "ic", _NAME, "--output=yaml", f"--namespace={namespace}"))
    print(kube.kubectl("get", f"all,controllerrevisions,{','.join(CHILDREN)}", f"--namespace={namespace}"))
    found = children(kube, uid, namespace=namespace)
    assert found.keys() == set(CHILDREN)
    _check_exposure(found, spec)
    _check_scaling(found, spec)
    _check_pods(found["deployments"]["spec"]["template"], spec)
    wait_until_ready(kube, "born-empty", namespace=namespace)
    _check_rest(kube, namespace)

    _switch_off_children(kube, uid, namespace)
    _take_parts_away(kube, uid, namespace, spec)
    kube.patch("imageclassifiers", _NAME, {"spec": dict.fromkeys(spec)}, namespace=namespace)
    wait_until_ready(kube, _NAME, namespace=namespace)
    print(kube.kubectl("get", f"all,{','.join(CHILDREN)}", f"--namespace={namespace}"))
    born = kube.get("imageclassifiers", "born-empty", namespace=namespace)
    assert born is not None
    expected = children(kube, born["metadata"]["uid"], namespace=namespace)
    assert _comparable(kube, uid, namespace) == {
        plural: comparable(child, owner="born-empty") for plural, child in expected.items()
    }
    assert expected.keys() == _ALWAYS
    result = wait_for_response(wait_for_endpoint(kube, _NAME, namespace=namespace), photograph)
    assert result["predictions"][0]["class_name"] == "cat"


def _comparable(kube: Kube, uid: str, namespace: str) -> dict[str, Object]:
    found = children(kube, uid, namespace=namespace)
    return {plural: comparable(child, owner=_NAME) for plural, child in found.items()}


def _send(endpoint: Endpoint, image: bytes, **headers: str) -> httpx.Response:
    with endpoint.client() as client:  # a new connection, so that both pods get requests
        return client.post(CLASSIFY, content=image, headers={"Content-Type": "image/jpeg", **headers})


def _check_requests(kube: Kube, namespace: str, endpoint: Endpoint, photograph: bytes) -> None:
    """Send requests with and without a key, whose spans and results reach the receiver and Redis."""

    def accepted() -> httpx.Response | None:
        try:
            response = _send(endpoint, photograph, **{"X-API-Key": _KEY})
        except httpx.TransportError:
            return None
        return response if response.status_code == httpx.codes.OK else None

    first = until(accepted, seconds=30, what="status 200").json()
    assert first["predictions"][0]["class_name"] == "cat"
    assert _send(endpoint, photograph).status_code == httpx.codes.UNAUTHORIZED
    traced = {"X-API-Key": _KEY, "traceparent": f"00-{_TRACE_ID}-b7ad6b7169203331-01"}
    assert _send(endpoint, photograph, **traced).json()["predictions"] == first["predictions"]

    tried = itertools.count()

    def served_from_redis() -> bool:
        """Send another image to both pods. The first connection to Redis may take longer than a pod waits."""
        image = variant(photograph, next(tried))
        headers = {"Content-Type": "image/jpeg", "X-API-Key": _KEY}
        for _ in range(6):
            with endpoint.client() as client:
                client.post(CLASSIFY, content=image, headers=headers)
                if _REDIS_HIT.search(client.get("/metrics").text):
                    return True
        return False

    until(served_from_redis, seconds=30, what="a result that another pod has stored in Redis")
    spans = trace_receiver.wait_for_spans(
        kube, namespace, lambda received: any(span["trace_id"] == _TRACE_ID for span in received), "spans"
    )
    assert all(span["resource"]["service.name"] == _NAME for span in spans)


def _check_exposure(found: Mapping[str, Object], spec: Object) -> None:
    service, wanted = found["services"], spec["service"]
    assert service["metadata"]["annotations"] == wanted["annotations"]
    assert service["spec"]["type"] == wanted["type"] == "NodePort"
    assert service["spec"]["trafficDistribution"] == wanted["trafficDistribution"]
    (port,) = service["spec"]["ports"]
    assert port["port"] == wanted["port"]
    assert port["nodePort"]
    ingress, wanted = found["ingresses"], spec["ingress"]
    assert ingress["metadata"]["annotations"] == wanted["annotations"]
    assert ingress["spec"]["ingressClassName"] == wanted["className"]
    assert ingress["spec"]["tls"] == [{"hosts": [wanted["host"]], "secretName": wanted["tlsSecretName"]}]
    assert ingress["spec"]["rules"][0]["http"]["paths"][0]["path"] == wanted["path"]
    route, wanted = found["httproutes"]["spec"], spec["gateway"]
    assert all(
        parent.items() >= given.items()
        for parent, given in zip(route["parentRefs"], wanted["parentRefs"], strict=True)
    )
    assert route["hostnames"] == wanted["hostnames"]
    assert route["rules"][0]["backendRefs"][0]["port"] == spec["service"]["port"]
    policy, wanted = found["networkpolicies"]["spec"], spec["networkPolicy"]
    assert policy["ingress"][0]["from"] == wanted["allowFrom"] + wanted["allowMetricsFrom"]
    monitor, wanted = found["servicemonitors"], spec["monitoring"]
    assert monitor["metadata"]["labels"].items() >= wanted["labels"].items()
    assert monitor["spec"]["endpoints"][0]["interval"] == wanted["interval"]


def _check_scaling(found: Mapping[str, Object], spec: Object) -> None:
    scaler, wanted = found["horizontalpodautoscalers"]["spec"], spec["autoscaling"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (wanted["minReplicas"], wanted["maxReplicas"])
    for direction, rules in wanted["behavior"].items():
        expected = {**rules, "tolerance": f"{rules['tolerance'] * 10}m"}
        assert scaler["behavior"][direction] == expected
    targets = {
        each["resource"]["name"]: each["resource"]["target"]["averageUtilization"] for each in scaler["metrics"]
    }
    assert targets == {"cpu": wanted["targetCPUUtilization"], "memory": wanted["targetMemoryUtilization"]}
    budget = found["poddisruptionbudgets"]["spec"]
    assert budget["maxUnavailable"] == spec["disruption"]["maxUnavailable"]
    update = found["deployments"]["spec"]["strategy"]["rollingUpdate"]
    assert update == {key: spec["rollout"][key] for key in ("maxSurge", "maxUnavailable")}


def _check_pods(template: Object, spec: Object) -> None:
    pod, runtime, scheduling = template["spec"], spec["runtime"], spec["scheduling"]
    assert template["metadata"]["labels"].items() >= runtime["podLabels"].items()
    assert template["metadata"]["annotations"] == runtime["podAnnotations"]
    assert pod["imagePullSecrets"] == runtime["imagePullSecrets"]
    assert pod["serviceAccountName"] == runtime["serviceAccountName"]
    for field in ("nodeSelector", "affinity", "priorityClassName", "runtimeClassName"):
        assert pod[field] == scheduling[field], field
    assert [{"operator": "Equal", **each} for each in pod["tolerations"]] == scheduling["tolerations"]
    assert {each["whenUnsatisfiable"] for each in pod["topologySpreadConstraints"]} == {"DoNotSchedule"}
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["image"] == runtime["image"]
        assert container["imagePullPolicy"] == runtime["imagePullPolicy"]
        assert [each for each in container["env"] if each in runtime["env"]] == runtime["env"]
        for kind, amounts in spec["resources"].items():
            assert container["resources"][kind] == {name: str(amount) for name, amount in amounts.items()}


def _check_rest(kube: Kube, namespace: str) -> None:
    """Check that the operator reconciles after an event, and writes nothing.

    For up to a minute, the autoscaler has no metrics of new pods. When it has, the status changes once more.
    """
    log = kube.target.audit_log
    assert log is not None
    counts = audit.count(())

    def rests() -> bool:
        start = audit.position(log)
        note = {"example.org/note": str(time.monotonic())}
        kube.patch("imageclassifiers", _NAME, {"metadata": {"annotations": note}}, namespace=namespace)
        time.sleep(_REST_SECONDS)
        counts.clear()
        counts.update(audit.count(audit.lines_since(log, start)))
        read = any(key.user == OPERATOR_USER and key[1:] == ("get", "deployments") for key in counts)
        return read and not audit.writes(counts, OPERATOR_USER)

    until(rests, seconds=60, what="no write", describe=lambda: audit.table(audit.writes(counts, OPERATOR_USER)))
    live = kube.get("imageclassifiers", _NAME, namespace=namespace)
    assert live is not None
    # a field that still differs after a write would be written again only after a pause
    assert "overridden" not in condition(live, "Ready")["message"]


def _switch_off_children(kube: Kube, uid: str, namespace: str) -> None:
    """Switch off each part that has a child of its own, and wait until the child is gone."""
    left = set(CHILDREN)
    for part, (value, plural) in _SWITCHED_OFF.items():
        change: Object = {part: value} if part != "autoscaling" else {part: value, "replicas": 0}
        kube.patch("imageclassifiers", _NAME, {"spec": change}, namespace=namespace)
        left -= {plural}
        until(
            lambda expected=frozenset(left): children(kube, uid, namespace=namespace).keys() == expected,  # type: ignore[misc]
            seconds=30,
            what=f"only {', '.join(sorted(left))} to be left",
        )
    assert left == {"deployments", "serviceaccounts", "services"}
    wait_for(
        kube,
        _NAME,
        namespace=namespace,
        what="no pods",
        probe=lambda live: live["status"].get("readySummary") == "0/0",
    )


def _take_parts_away(kube: Kube, uid: str, namespace: str, spec: Object) -> None:
    """Remove each other part, without pods, so that no rollout takes time; each removal must change a child."""
    parts = ImageClassifierSpec.api_names().values() - _SWITCHED_OFF.keys() - _NO_CHILD_CHANGES
    assert parts <= spec.keys()
    for part in sorted(parts, key=lambda each: (each in _LAST, each)):
        before = _comparable(kube, uid, namespace)
        kube.patch("imageclassifiers", _NAME, {"spec": {part: None}}, namespace=namespace)
        until(
            lambda before=before: _comparable(kube, uid, namespace) != before,  # type: ignore[misc]
            seconds=30,
            what=f"a child to change without {part}",
        )
