"""The operator in named namespaces: with Roles only, while one of them is deleted, and before one exists."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.children import CHILDREN

from e2e import audit
from e2e.cluster.gateway_api import HTTP_ROUTE_CRD
from tests import crd
from tests.integration.operator_harness import (
    Api,
    OperatorCluster,
    classifier,
    condition,
    eventually,
    install_http_route_crd,
    pods_of,
    reconciled,
    running,
    service_account_kubeconfig,
    wait_until_established,
)
from tools import chart

if TYPE_CHECKING:
    from collections.abc import Iterator

_SERVICE_MONITOR_CRD = "servicemonitors.monitoring.coreos.com"
_SERVICE_MONITORS = crd.ROOT / "e2e" / "manifests" / "servicemonitor-crd.yaml"
_EVERY_CHILD: dict[str, Any] = {
    "autoscaling": {"minReplicas": 1, "maxReplicas": 2},
    "ingress": {"host": "pets.example.org"},
    "gateway": {"parentRefs": [{"name": "public"}]},
    "networkPolicy": {},
    "monitoring": {"serviceMonitor": "Enabled"},
}
_releases = itertools.count()


@pytest.fixture
def optional_apis(cluster: OperatorCluster) -> Iterator[None]:
    """The APIs of HTTPRoutes and ServiceMonitors, for one test."""
    admin = Api(cluster.plane.kubeconfig)
    install_http_route_crd(admin)
    admin.run("apply", "-f", str(_SERVICE_MONITORS))
    wait_until_established(admin, _SERVICE_MONITOR_CRD)
    yield
    admin.run("delete", "crd", HTTP_ROUTE_CRD, _SERVICE_MONITOR_CRD)


def roles_only(cluster: OperatorCluster, *apis: Api) -> tuple[OperatorCluster, str]:
    """Create the Roles that the chart has for an operator in these namespaces.

    Returns the cluster with the credentials of that operator, and the name of its user.
    """
    values = {
        "namespaces": [api.namespace for api in apis],
        "roles": {"create": False},
        "crds": {"install": False},
    }
    release = cluster.fresh_namespace()
    rendered = chart.render(values, name=f"roles-{next(_releases)}", namespace=release.namespace)
    manifests = [item for path, text in rendered.items() for item in chart.objects(path, text)]
    assert [item for item in manifests if item["kind"].startswith("Cluster")] == []
    Api(cluster.plane.kubeconfig).run("apply", "-f", "-", stdin=rendered["rbac.yaml"])
    (account,) = (
        item for item in chart.objects("rbac.yaml", rendered["rbac.yaml"]) if item["kind"] == "ServiceAccount"
    )
    user = f"system:serviceaccount:{release.namespace}:{account['metadata']['name']}"
    kubeconfig = service_account_kubeconfig(cluster.plane, user)
    return replace(cluster, operator_kubeconfig=kubeconfig), user


def namespaces_option(*apis: Api) -> str:
    return f"--namespaces={','.join(api.namespace for api in apis)}"


@pytest.mark.usefixtures("optional_apis")
def test_with_roles_only_every_child_is_created_and_no_request_is_forbidden(cluster: OperatorCluster) -> None:
    api, other = cluster.fresh_namespace(), cluster.fresh_namespace()
    restricted, user = roles_only(cluster, api)
    start = cluster.audit_position()
    with restricted.operator(namespaces_option(api)):
        for each in (api, other):
            each.apply(classifier(**_EVERY_CHILD))
        reconciled(api, seconds=60)
        for child in CHILDREN:
            eventually(partial(api.get, child.resource.plural, "pets"), what=child.kind)
        (pod,) = eventually(lambda: pods_of(api), what="a pod")
        api.patch_status("pods", pod["metadata"]["name"], running())
        eventually(lambda: condition(api.get("ic", "pets"))["status"] == "True", what="Ready")
        api.apply(classifier())
        optional = [child for child in CHILDREN if child.optional and child.capability != "service_monitors"]
        for child in optional:  # the default of the ServiceMonitor is Auto
            eventually(partial(is_absent, api, child.resource.plural), what=f"no {child.kind}")
        assert "status" not in (other.get("ic", "pets") or {})
        assert other.list("deployments") == []

    events = audit.events_since(cluster.plane.audit_log, start)
    ours = [event for event in events if event["user"].get("username") == user]
    assert len(ours) > len(CHILDREN)
    assert [event["requestURI"] for event in ours if event["responseStatus"]["code"] == 403] == []
    levels = {json.loads(line)["level"] for line in cluster.last_log().splitlines()}
    assert levels == {"INFO"}


def is_absent(api: Api, kind: str) -> bool:
    return api.get(kind, "pets") is None


def test_the_deletion_of_a_namespace_does_not_stop_the_others(cluster: OperatorCluster) -> None:
    api, deleted = cluster.fresh_namespace(), cluster.fresh_namespace()
    restricted, _ = roles_only(cluster, api, deleted)
    with restricted.operator(namespaces_option(api, deleted), errors=True):
        for each in (api, deleted):
            each.apply(classifier("before"))
            reconciled(each, "before", seconds=60)
        Api(cluster.plane.kubeconfig).run("delete", "namespace", deleted.namespace)
        eventually(
            lambda: f'in the namespace \\"{deleted.namespace}\\"' in cluster.last_log(),
            seconds=60,
            what="the log to name the namespace",
        )
        api.apply(classifier("during"))
        reconciled(api, "during", seconds=60)
    with restricted.operator(namespaces_option(api, deleted), errors=True):
        api.apply(classifier("after"))
        reconciled(api, "after", seconds=60)


def test_a_namespace_that_does_not_exist_yet_is_served_once_it_does(cluster: OperatorCluster) -> None:
    later = Api(cluster.plane.kubeconfig, "created-later")
    with cluster.operator(namespaces_option(later)):
        start = cluster.audit_position()
        eventually(lambda: len(cluster.operator_requests(since=start)) > 10, what="the operator to start")
        later.run("create", "namespace", later.namespace)
        later.apply(classifier())
        reconciled(later, seconds=60)
