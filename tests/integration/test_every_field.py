"""The operator with an object that has every field: it is written once, and every field can be taken away."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.children import CHILDREN

from e2e.classifiers import comparable
from e2e.cluster.gateway_api import HTTP_ROUTE_CRD
from e2e.install import SERVICE_MONITOR_CRD, service_monitor_crd
from tests import crd
from tests.golden.cases import EVERY_FIELD
from tests.integration.operator_harness import (
    Api,
    OperatorCluster,
    classifier,
    condition,
    eventually,
    install_http_route_crd,
    no_writes,
    reconciled,
    wait_until_established,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = tuple(child.resource.plural for child in CHILDREN)
_REQUIRED = {"deployments", "serviceaccounts", "services", "servicemonitors"}
_SAMPLE = crd.load(EVERY_FIELD)
_NAME: str = _SAMPLE["metadata"]["name"]
_NULLS = dict.fromkeys(crd.schema()["properties"]["spec"]["properties"])
_AFFINITY: dict[str, Any] = {
    "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []},
    "podAffinity": {},
    "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []},
}
_EMPTY: dict[str, Any] = {
    **{part: {} for part in ("model", "resources", "limits", "batching", "disruption", "rollout")},
    "runtime": {
        "imagePullSecrets": [],
        "serviceAccountAnnotations": {},
        "podLabels": {},
        "podAnnotations": {},
        "env": [],
    },
    "scheduling": {"nodeSelector": {}, "tolerations": [], "affinity": _AFFINITY},
    "service": {"annotations": {}, "trafficDistribution": None},
    "monitoring": {"labels": {}},
    "tracing": {"otlpEndpoint": ""},
    "security": {"rateLimit": None, "trustedProxies": []},
}
"""Every part that an empty object does not switch on."""


@pytest.fixture(scope="module", autouse=True)
def operator(cluster: OperatorCluster) -> Iterator[None]:
    """Runs the operator on an API server that serves every kind of child."""
    admin = Api(cluster.plane.kubeconfig)
    install_http_route_crd(admin)
    admin.apply(service_monitor_crd())
    wait_until_established(admin, SERVICE_MONITOR_CRD)
    with cluster.operator():
        probe = cluster.fresh_namespace()
        probe.apply(classifier())
        eventually(lambda: (probe.get("ic", "pets") or {}).get("status"), seconds=60, what="the operator to start")
        probe.run("delete", "ic", "pets")
        yield
    admin.run("delete", "crd", HTTP_ROUTE_CRD, SERVICE_MONITOR_CRD)


def _children(api: Api, name: str) -> dict[str, dict[str, Any]]:
    """Return what is comparable of the children of an object, by plural."""
    live = {plural: api.get(plural, name) for plural in _KINDS}
    return {plural: comparable(child, owner=name) for plural, child in live.items() if child is not None}


def test_an_object_with_every_field_is_written_once(cluster: OperatorCluster, api: Api) -> None:
    api.apply(_SAMPLE)
    reconciled(api, _NAME)
    assert _children(api, _NAME).keys() == set(_KINDS)
    eventually(lambda: no_writes(cluster, seconds=3), seconds=40, what="the operator to stop writing")
    before = cluster.audit_position()
    for kind in ("ic", *(plural for plural in _KINDS if plural != "deployments")):
        api.run("annotate", kind, _NAME, "example.org/note=changed")  # of a Deployment, it changes the generation
    eventually(lambda: _has_read(cluster, before), what="another reconcile")
    eventually(lambda: no_writes(cluster, seconds=3), what="the operator to stop writing")
    assert cluster.operator_writes(since=before) == []
    # a field that still differs after a write would be written again only after a pause
    assert "overridden" not in condition(api.get("ic", _NAME))["message"]


def _has_read(cluster: OperatorCluster, since: Any) -> bool:
    """Whether the operator has read a Deployment since a position in the audit log."""
    requests = cluster.operator_requests(since=since)
    return any(event["verb"] == "get" and event["objectRef"]["resource"] == "deployments" for event in requests)


def test_an_object_whose_fields_are_all_taken_away_has_the_children_of_an_empty_one(
    cluster: OperatorCluster, api: Api
) -> None:
    api.apply(_SAMPLE)
    api.apply(classifier("born-empty"))
    reconciled(api, _NAME)
    reconciled(api, "born-empty")
    eventually(lambda: api.get("hpa", _NAME), what="the autoscaler")
    api.patch("ic", _NAME, {"spec": _NULLS})
    reconciled(api, _NAME)
    eventually(lambda: no_writes(cluster, seconds=2), seconds=40, what="the operator to stop writing")
    assert _children(api, _NAME) == _children(api, "born-empty")
    assert _children(api, _NAME).keys() == _REQUIRED


@pytest.mark.parametrize("spec", [None, _NULLS, _EMPTY], ids=["null", "nulls", "empty-parts"])
def test_null_and_empty_parts_are_absent_parts(cluster: OperatorCluster, api: Api, spec: dict[str, Any]) -> None:
    api.apply(classifier("born-empty"))
    # not with `kubectl apply`, which drops nulls
    api.run("create", "-f", "-", stdin=json.dumps({**classifier("spelled-out"), "spec": spec}))
    reconciled(api, "born-empty")
    reconciled(api, "spelled-out")
    eventually(lambda: no_writes(cluster, seconds=2), seconds=40, what="the operator to stop writing")
    assert _children(api, "spelled-out") == _children(api, "born-empty")
