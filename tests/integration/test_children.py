"""The operator's manifests on a real API server: stored without a difference, and replaceable by any others."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.apply.difference import difference
from imageclassifier_operator.children import CHILDREN
from imageclassifier_operator.kube.client import KubeClient, connect
from imageclassifier_operator.revisions.takeover import template_in_use

from e2e.cluster.controlplane import ControlPlane
from tests import crd
from tests.golden.cases import CASES, build
from tests.integration.operator_harness import Api, install_http_route_crd, wait_until_established

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from e2e.cluster import programs

_MANAGER = "imageclassifier-operator"
_RESOURCES = {child.kind: child.resource for child in CHILDREN}
_MONITORS = crd.ROOT / "e2e" / "manifests" / "servicemonitor-crd.yaml"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory, kubernetes: programs.Module) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("plane"), kubernetes=kubernetes) as running:
        admin = Api(running.kubeconfig)
        admin.run("apply", "-f", str(_MONITORS))
        wait_until_established(admin, "servicemonitors.monitoring.coreos.com")
        install_http_route_crd(admin)
        yield running


_numbers = itertools.count()


@pytest.fixture
async def client(plane: ControlPlane) -> AsyncIterator[NamespacedClient]:
    namespace = f"test-{next(_numbers)}"
    Api(plane.kubeconfig).run("create", "namespace", namespace)
    async with await connect(kubeconfig=str(plane.kubeconfig), context=plane.settings.context) as kube:
        yield NamespacedClient(kube=kube, namespace=namespace)


@dataclass(frozen=True, kw_only=True)
class NamespacedClient:
    """The operator's client, and a namespace for one test."""

    kube: KubeClient
    namespace: str

    async def apply(self, child: dict[str, Any]) -> dict[str, Any]:
        """Apply a child as the operator does, and return the server's response."""
        return await self.kube.apply(_RESOURCES[child["kind"]], child, manager=_MANAGER)

    async def get(self, child: dict[str, Any]) -> dict[str, Any]:
        """Read a child from the server."""
        resource, name = _RESOURCES[child["kind"]], child["metadata"]["name"]
        found = await self.kube.get(resource, namespace=self.namespace, name=name)
        assert found is not None
        return found


async def _children(client: NamespacedClient, case: Path) -> list[dict[str, Any]]:
    """Return the children of a golden case as they are built for this server, in the test's namespace."""
    children = build(case, kubernetes=await client.kube.version())
    for child in children:
        child["metadata"]["namespace"] = client.namespace
    return children


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_an_applied_child_does_not_differ_from_the_desired_one(client: NamespacedClient, case: Path) -> None:
    for child in await _children(client, case):
        response = await client.apply(child)
        for live in (response, await client.get(child)):
            assert difference(child, live, manager=_MANAGER) is None, child["kind"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_applying_the_same_again_changes_nothing(client: NamespacedClient, case: Path) -> None:
    for child in await _children(client, case):
        first, second = await client.apply(child), await client.apply(child)
        assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"], child["kind"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_template_is_taken_over_as_it_was_applied(client: NamespacedClient, case: Path) -> None:
    (deployment,) = (child for child in await _children(client, case) if child["kind"] == "Deployment")
    live = await client.apply(deployment)
    newer = copy.deepcopy(deployment["spec"]["template"])
    newer["spec"]["containers"][0]["image"] = "newer"
    taken_over = {**deployment, "spec": {**deployment["spec"], "template": template_in_use(live, newer)}}
    assert difference(deployment, taken_over | {"metadata": live["metadata"]}, manager=_MANAGER) is None
    again = await client.apply(taken_over)
    assert again["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]


async def test_any_spec_can_follow_any_other(client: NamespacedClient) -> None:
    # both orders, so that each field is added, changed and removed
    cases = [case for case in CASES if not case.name.endswith("-name")]
    for case in [*cases, *reversed(cases)]:
        for child in await _children(client, case):
            child["metadata"]["name"] = "pets"
            if child["kind"] == "Deployment":
                labels = {**child["spec"]["selector"]["matchLabels"], "app.kubernetes.io/instance": "pets"}
                child["spec"]["selector"]["matchLabels"] = labels
                child["spec"]["template"]["metadata"]["labels"] |= labels
            live = await client.apply(child)
            assert difference(child, live, manager=_MANAGER) is None, f"{case.name}: {child['kind']}"
