"""What the operator makes of a world that is in its way, and of its own sudden end."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.children import CHILDREN

from tests.integration.operator_harness import (
    Api,
    Bench,
    classifier,
    condition,
    eventually,
    settled,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVED = tuple(child.resource.plural for child in CHILDREN if child.capability is None)
SERVICE_MONITORS = "servicemonitors.monitoring.coreos.com"


@pytest.fixture
def api(bench: Bench) -> Api:
    return bench.fresh_namespace()


@pytest.fixture
def service_monitors(bench: Bench) -> Iterator[Api]:
    """The ServiceMonitor API, for one test."""
    admin = Api(bench.plane.kubeconfig)
    admin.apply(service_monitor_crd())
    admin.run("wait", "--for=condition=Established", f"crd/{SERVICE_MONITORS}")
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


def requests_about(bench: Bench, namespace: str, *, since: int) -> int:
    lines = bench.plane.audit_log.read_text().splitlines()[since:]
    entries = (json.loads(line) for line in lines)
    return sum(
        entry["verb"] == "get" and (entry.get("objectRef") or {}).get("namespace") == namespace
        for entry in entries
        if "imageclassifier-operator" in entry["user"].get("username", "")
    )


def test_a_child_that_is_held_while_it_goes_is_named_waited_for_and_made_anew(bench: Bench, api: Api) -> None:
    with bench.operator():
        api.apply(classifier())
        settled(api)
        api.patch("service", "pets", {"metadata": {"finalizers": ["example.org/held"]}})
        api.run("delete", "service", "pets", "--wait=false")
        eventually(lambda: reason(api) == "Terminating", what="the cause")
        live = api.get("ic", "pets")
        assert "example.org/held" in condition(live)["message"]
        assert condition(live, "Stalled")["status"] == "False"
        before = bench.audit_lines()
        time.sleep(3)
        assert requests_about(bench, api.namespace, since=before) < 30, "a busy loop"
        api.patch("service", "pets", {"metadata": {"finalizers": []}})
        eventually(lambda: is_there(api, "service"), what="another Service")
        eventually(lambda: reason(api) != "Terminating", what="no word of it")


def is_there(api: Api, kind: str) -> bool:
    live = api.get(kind, "pets")
    return live is not None and "deletionTimestamp" not in live["metadata"]


def test_a_webhook_that_does_not_answer_is_told_and_stops_nothing_else(bench: Bench, api: Api) -> None:
    admin = Api(bench.plane.kubeconfig)
    admin.run("label", "namespace", api.namespace, "hooked=yes")
    hook = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "nobody-there"},
        "webhooks": [
            {
                "name": "deployments.example.org",
                "clientConfig": {"url": "https://127.0.0.1:1/"},
                "namespaceSelector": {"matchLabels": {"hooked": "yes"}},
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
        time.sleep(1)  # an API server says nowhere when it has taken note of a webhook
        with bench.operator():
            api.apply(classifier())
            eventually(lambda: reason(api) == "WebhookFailed", what="the cause")
            assert api.get("service", "pets") is not None
            assert "deployments.example.org" in condition(api.get("ic", "pets"))["message"]
            admin.run("delete", "validatingwebhookconfiguration", "nobody-there")
            eventually(lambda: api.get("deployment", "pets"), what="the Deployment")
    finally:
        admin.run("delete", "validatingwebhookconfiguration", "nobody-there", "--ignore-not-found")


def test_orphans_are_left_alone_and_named_until_a_person_decides(bench: Bench, api: Api) -> None:
    with bench.operator():
        api.apply(classifier())
        settled(api)
        api.run("delete", "ic", "pets", "--cascade=orphan")
        api.apply(classifier(replicas=3))
        eventually(lambda: reason(api) == "NameConflict", what="the conflict")
        orphan = api.get("deployment", "pets")
        assert orphan is not None
        assert orphan["spec"]["replicas"] == 1
        for kind in ("serviceaccount", "service", "deployment"):
            api.run("delete", kind, "pets")
        eventually(lambda: reason(api) != "NameConflict", what="no conflict")
        eventually(lambda: api.get("deployment", "pets"), what="a Deployment of its own")


def test_a_crd_that_is_taken_away_is_not_held_up(bench: Bench, api: Api, service_monitors: Api) -> None:
    with bench.operator():
        for number in range(4):
            api.apply(classifier(f"pets-{number}"))
        eventually(lambda: len(api.list("servicemonitors")) == 4, what="the ServiceMonitors")
        service_monitors.run("delete", "crd", SERVICE_MONITORS, "--timeout=20s")


def test_killed_at_any_moment_it_comes_to_the_same_end(bench: Bench, api: Api) -> None:
    chance = random.Random(5)
    changes = [random_spec(chance) for _ in range(3)]
    for number, spec in enumerate(changes):
        with bench.operator(killed=True):
            before, most = bench.audit_lines(), 2 if number else 4  # a change of the spec needs two writes
            api.run("apply", "-f", "-", stdin=json.dumps(classifier(**spec)))
            eventually_written(bench, chance.randint(1, most), since=before)
    undisturbed = bench.fresh_namespace()
    with bench.operator():
        undisturbed.apply(classifier(**changes[-1]))
        expected = eventually(lambda: resting(undisturbed), what="the world undisturbed")
        eventually(lambda: resting(api) == expected, what="the same world")


def eventually_written(bench: Bench, count: int, *, since: int) -> None:
    """Return in the very moment of the operator's so-manieth write, or soon after."""
    deadline = time.monotonic() + 10
    while len(bench.operator_writes(since=since)) < count and time.monotonic() < deadline:
        time.sleep(0.005)


def random_spec(chance: random.Random) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "replicas": chance.randint(1, 4),
        "service": {"port": chance.choice([80, 81]), "type": chance.choice(["ClusterIP", "NodePort"])},
    }
    return {**spec, "autoscaling": {"minReplicas": 5, "maxReplicas": 6}} if chance.random() < 0.5 else spec


def resting(api: Api) -> dict[str, Any]:
    """What the children look like, without what the API server deals out."""
    settled(api)
    found: dict[str, Any] = {}
    for kind in SERVED:
        live = api.get(kind, "pets") or {}
        spec = live.get("spec") or {}
        ports = [{**port, "nodePort": "nodePort" in port} for port in spec.get("ports") or []]
        kept = {key: value for key, value in spec.items() if key not in {"clusterIP", "clusterIPs", "ports"}}
        found[kind] = (sorted(live.get("metadata", {}).get("labels", {}).items()), kept, ports)
    return found
