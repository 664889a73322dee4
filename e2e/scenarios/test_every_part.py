"""An object with every optional part has every child; each part is then switched off, and its child is deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e2e.classifiers import CHILDREN, children, manifest, wait_for_endpoint, wait_for_response, wait_until_ready
from e2e.waiting import until

if TYPE_CHECKING:
    from e2e.kube import Kube

_SPEC: dict[str, Any] = {
    "autoscaling": {"minReplicas": 1, "maxReplicas": 2},
    "batching": {"maxBatchSize": 4},
    "cache": {"maxBytes": "8Mi"},
    "runtime": {
        "podLabels": {"team": "vision"},
        "podAnnotations": {"example.org/cost-center": "4711"},
        "serviceAccountAnnotations": {"example.org/role": "reader"},
        "env": [{"name": "TZ", "value": "UTC"}],
    },
    "scheduling": {"nodeSelector": {"kubernetes.io/os": "linux"}, "spread": "Off"},
    "disruption": {"maxUnavailable": 1},
    "service": {"port": 8080, "annotations": {"example.org/load-balancer": "internal"}},
    "ingress": {"host": "pets.example.org", "className": "none", "tlsSecretName": "pets-tls"},
    "gateway": {"parentRefs": [{"name": "public", "namespace": "gateways"}], "hostnames": ["pets.example.org"]},
    "networkPolicy": {"allowFrom": [{"namespaceSelector": {}}]},
    "monitoring": {"serviceMonitor": "Enabled", "labels": {"release": "prometheus"}},
    "tracing": {"otlpEndpoint": "http://collector.example.org:4318", "samplingPercent": 0},
    "security": {"rateLimit": {"requestsPerSecond": 1000}},
    "rollout": {"drainSeconds": 1},
    "upgrade": "Manual",
}
_OFF = (
    ({"disruption": {"budget": "Disabled"}}, "poddisruptionbudgets"),
    ({"autoscaling": None}, "horizontalpodautoscalers"),
    ({"ingress": None}, "ingresses"),
    ({"gateway": None}, "httproutes"),
    ({"networkPolicy": None}, "networkpolicies"),
    ({"monitoring": {"serviceMonitor": "Disabled"}}, "servicemonitors"),
)


def test_every_part_has_its_child_until_it_is_switched_off(kube: Kube, namespace: str, photograph: bytes) -> None:
    kube.apply(manifest("pets", namespace=namespace, spec=_SPEC))
    uid = wait_until_ready(kube, "pets", namespace=namespace)["metadata"]["uid"]
    wait_for_response(wait_for_endpoint(kube, "pets", namespace=namespace), photograph)
    left = set(children(kube, uid, namespace=namespace))
    assert left == set(CHILDREN)
    print(kube.kubectl("get", "ic", "pets", "--output=yaml", f"--namespace={namespace}"))
    print(kube.kubectl("get", f"all,controllerrevisions,{','.join(CHILDREN)}", f"--namespace={namespace}"))

    for change, plural in _OFF:
        kube.patch("imageclassifiers", "pets", {"spec": change}, namespace=namespace)
        left -= {plural}
        until(
            lambda expected=frozenset(left): set(children(kube, uid, namespace=namespace)) == expected,  # type: ignore[misc]
            seconds=30,
            what=f"only {', '.join(sorted(left))} to be left",
        )
    assert left == {"deployments", "serviceaccounts", "services"}
    optional = ["autoscaling", "batching", "cache", "runtime", "scheduling", "tracing", "security", "service"]
    kube.patch("imageclassifiers", "pets", {"spec": dict.fromkeys(optional)}, namespace=namespace)
    wait_until_ready(kube, "pets", namespace=namespace)
    print(kube.kubectl("get", f"all,{','.join(CHILDREN)}", f"--namespace={namespace}"))
