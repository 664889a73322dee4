"""The operator with blocked deletions, failing webhooks, orphans and missing CRDs, and after it is killed."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.children import CHILDREN

from tests.integration.operator_harness import (
    Api,
    OperatorCluster,
    classifier,
    condition,
    controlled_by,
    eventually,
    reconciled,
    spec_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.audit import LogPosition

BUILT_IN_PLURALS = tuple(child.resource.plural for child in CHILDREN if child.capability is None)
SERVICE_MONITORS = "servicemonitors.monitoring.coreos.com"


@pytest.fixture
def service_monitors(cluster: OperatorCluster) -> Iterator[Api]:
    """The ServiceMonitor API, for one test."""
    admin = Api(cluster.plane.kubeconfig)
    admin.apply(service_monitor_crd())
    # The API server lists a CRD that is established a moment later; an operator that starts before finds no API.
    found = "/apis/monitoring.coreos.com/v1"
    eventually(lambda: '"servicemonitors"' in admin.run("get", "--raw", found), what="the API of the CRD")
    yield admin
    admin.run("delete", "crd", SERVICE_MONITORS, "--ignore-not-found")


def service_monitor_crd() -> dict[str, Any]:
    names = {"kind": "ServiceMonitor", "plural": "servicemonitors", "singular": "servicemonitor"}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": SERVICE_MONITORS},
        "spec": {
            "group": "monitoring.coreos.com",
            "scope": "Namespaced",
            "names": names,
            "versions": [version],
        },
    }


def reason(api: Api, kind: str = "Ready") -> str:
    found: str = condition(api.get("ic", "pets"), kind)["reason"]
    return found


def operator_reads(cluster: OperatorCluster, namespace: str, *, since: LogPosition) -> int:
    requests = cluster.operator_requests(since=since)
    return sum(
        request["verb"] == "get" and (request.get("objectRef") or {}).get("namespace") == namespace
        for request in requests
    )


def test_a_child_whose_finalizer_blocks_its_deletion_is_reported_and_later_recreated(
    cluster: OperatorCluster, api: Api
) -> None:
    with cluster.operator():
        api.apply(classifier())
        reconciled(api)
        api.patch("service", "pets", {"metadata": {"finalizers": ["example.org/held"]}})
        api.run("delete", "service", "pets", "--wait=false")
        eventually(lambda: reason(api) == "Terminating", what="the cause")
        live = api.get("ic", "pets")
        assert "example.org/held" in condition(live)["message"]
        assert condition(live, "Stalled")["status"] == "False"
        before = cluster.audit_position()
        time.sleep(3)
        assert operator_reads(cluster, api.namespace, since=before) < 30, "a busy loop"
        api.patch("service", "pets", {"metadata": {"finalizers": []}})
        eventually(lambda: exists(api, "service"), what="a new Service")
        eventually(lambda: reason(api) != "Terminating", what="a condition without the deletion")


def exists(api: Api, kind: str) -> bool:
    live = api.get(kind, "pets")
    return live is not None and "deletionTimestamp" not in live["metadata"]


def test_an_unreachable_webhook_is_reported_and_affects_no_other_child(cluster: OperatorCluster, api: Api) -> None:
    admin = Api(cluster.plane.kubeconfig)
    admin.run("label", "namespace", api.namespace, "webhook=on")
    hook = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "unreachable"},
        "webhooks": [
            {
                "name": "deployments.example.org",
                "clientConfig": {"url": "https://127.0.0.1:1/"},
                "namespaceSelector": {"matchLabels": {"webhook": "on"}},
                "rules": [
                    {
                        "apiGroups": ["apps"],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["deployments"],
                    }
                ],
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
        ],
    }
    admin.apply(hook)
    try:
        time.sleep(1)  # an API server does not report when it starts to call a webhook
        with cluster.operator():
            api.apply(classifier())
            eventually(lambda: reason(api) == "WebhookFailed", what="the cause")
            assert api.get("service", "pets") is not None
            assert "deployments.example.org" in condition(api.get("ic", "pets"))["message"]
            admin.run("delete", "validatingwebhookconfiguration", "unreachable")
            eventually(lambda: api.get("deployment", "pets"), what="the Deployment")
    finally:
        admin.run("delete", "validatingwebhookconfiguration", "unreachable", "--ignore-not-found")


def test_orphans_are_adopted_by_a_new_object_of_the_same_name(cluster: OperatorCluster, api: Api) -> None:
    with cluster.operator():
        api.apply(classifier())
        reconciled(api)
        orphan = api.get("deployment", "pets")
        assert orphan is not None
        api.run("delete", "ic", "pets", "--cascade=orphan")
        api.apply(classifier(replicas=3))
        eventually(lambda: spec_of(api)["replicas"] == 3, what="the new number of replicas")
        for kind in ("serviceaccount", "service", "deployment", "poddisruptionbudget"):
            eventually(lambda kind=kind: controlled_by(api, kind), what=f"the adoption of the {kind}")  # type: ignore[misc]
        adopted = api.get("deployment", "pets")
        assert adopted is not None
        assert adopted["metadata"]["uid"] == orphan["metadata"]["uid"]
        assert adopted["spec"]["template"] == orphan["spec"]["template"], "no pod restarts"


def test_the_deletion_of_a_crd_is_not_blocked(cluster: OperatorCluster, api: Api, service_monitors: Api) -> None:
    with cluster.operator():
        for number in range(4):
            api.apply(classifier(f"pets-{number}"))
        eventually(lambda: len(api.list("servicemonitors")) == 4, what="the ServiceMonitors")
        service_monitors.run("delete", "crd", SERVICE_MONITORS, "--timeout=20s")


def test_an_operator_killed_at_any_moment_reaches_the_same_state_after_its_restart(
    cluster: OperatorCluster, api: Api
) -> None:
    generator = random.Random(5)
    changes = [random_spec(generator) for _ in range(3)]
    for number, spec in enumerate(changes):
        with cluster.operator(killed=True):
            before, most = cluster.audit_position(), 2 if number else 4  # a change of the spec needs two writes
            api.run("apply", "-f", "-", stdin=json.dumps(classifier(**spec)))
            wait_for_writes(cluster, generator.randint(1, most), since=before)
    reference = cluster.fresh_namespace()
    with cluster.operator():
        reference.apply(classifier(**changes[-1]))
        expected = eventually(lambda: child_specs(reference), what="the children of the reference")
        eventually(lambda: child_specs(api) == expected, what="the same children")


def wait_for_writes(cluster: OperatorCluster, count: int, *, since: LogPosition) -> None:
    """Return as soon as the operator has written that many times."""
    deadline = time.monotonic() + 10
    while len(cluster.operator_writes(since=since)) < count and time.monotonic() < deadline:
        time.sleep(0.005)


def random_spec(generator: random.Random) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "replicas": generator.randint(1, 4),
        "service": {"port": generator.choice([80, 81]), "type": generator.choice(["ClusterIP", "NodePort"])},
    }
    return {**spec, "autoscaling": {"minReplicas": 5, "maxReplicas": 6}} if generator.random() < 0.5 else spec


def child_specs(api: Api) -> dict[str, Any]:
    """Return labels, spec and ports of each child, without the values that the API server assigns."""
    reconciled(api)
    found: dict[str, Any] = {}
    for kind in BUILT_IN_PLURALS:
        live = api.get(kind, "pets") or {}
        spec = live.get("spec") or {}
        ports = [{**port, "nodePort": "nodePort" in port} for port in spec.get("ports") or []]
        kept = {key: value for key, value in spec.items() if key not in {"clusterIP", "clusterIPs", "ports"}}
        found[kind] = (sorted(live.get("metadata", {}).get("labels", {}).items()), kept, ports)
    return found
