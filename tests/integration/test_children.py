"""The operator's manifests on a real API server: stored without a difference, and replaceable by any others."""

from __future__ import annotations

import copy
import functools
import itertools
import operator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.api import InvalidSpecError
from imageclassifier_operator.apply.difference import difference
from imageclassifier_operator.children import CHILDREN
from imageclassifier_operator.kube.client import KubeClient, connect
from imageclassifier_operator.manifests import Capabilities
from imageclassifier_operator.revisions.takeover import template_in_use

from e2e.classifiers import comparable
from e2e.cluster.controlplane import ControlPlane
from tests import crd
from tests.golden.cases import CASES, EVERY_FIELD, build, manifests
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
    async with _client_of_a_new_namespace(plane) as opened:
        yield opened


@pytest.fixture
async def other(plane: ControlPlane) -> AsyncIterator[NamespacedClient]:
    """A second namespace."""
    async with _client_of_a_new_namespace(plane) as opened:
        yield opened


@asynccontextmanager
async def _client_of_a_new_namespace(plane: ControlPlane) -> AsyncIterator[NamespacedClient]:
    namespace = f"test-{next(_numbers)}"
    Api(plane.kubeconfig).run("create", "namespace", namespace)
    async with await connect(kubeconfig=str(plane.kubeconfig), context=plane.settings.context) as kube:
        yield NamespacedClient(kube=kube, namespace=namespace)


@dataclass(frozen=True, kw_only=True)
class NamespacedClient:
    """The operator's client, and a namespace for one test."""

    kube: KubeClient
    namespace: str
    created: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def apply(self, child: dict[str, Any]) -> dict[str, Any]:
        """Apply a child as the operator does, and return the server's response."""
        child = {**child, "metadata": {**child["metadata"], "namespace": self.namespace}}
        return await self.kube.apply(_RESOURCES[child["kind"]], child, manager=_MANAGER)

    async def create(self, child: dict[str, Any]) -> dict[str, Any]:
        """Apply a child after the deletion of the one that this method created before."""
        resource, metadata = _RESOURCES[child["kind"]], self.created.get(child["kind"])
        if metadata is not None:
            live = await self.kube.get(resource, namespace=self.namespace, name=metadata["name"])
            if live is not None:
                await self.kube.delete(resource, live)
        live = await self.apply(child)
        self.created[child["kind"]] = live["metadata"]
        return live

    async def get(self, child: dict[str, Any]) -> dict[str, Any]:
        """Read a child from the server."""
        resource, name = _RESOURCES[child["kind"]], child["metadata"]["name"]
        found = await self.kube.get(resource, namespace=self.namespace, name=name)
        assert found is not None
        return found


async def _children(client: NamespacedClient, case: Path) -> list[dict[str, Any]]:
    """Return the children of a golden case as they are built for this server."""
    return build(case, kubernetes=await client.kube.version())


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


_SAMPLE: dict[str, Any] = crd.load(EVERY_FIELD)["spec"]
_NODES = list(crd.nodes(crd.schema()["properties"]["spec"]))
_LARGE = {"limits", "cache"}
"""The parts that need more memory than the default; without them, the resources can be removed too."""

_WITH_THE_OTHER = {"model.uri", "model.sha256"}
"""Optional fields, none of which can be removed without the other."""


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every field, and of every item of a list."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, below in inner:
        yield (*path, step)
        yield from _paths(below, (*path, step))


def _without(value: Any, path: tuple[str | int, ...]) -> Any:
    """Return a copy of a value without what is at a path."""
    result = copy.deepcopy(value)
    del functools.reduce(operator.getitem, path[:-1], result)[path[-1]]
    return result


async def _manifests(client: NamespacedClient, spec: dict[str, Any]) -> dict[str, dict[str, Any]] | None:
    """Return the children of a spec by kind, as they are built for this server, or None if the spec is invalid."""
    document = {"metadata": {"name": "pets"}, "spec": spec}
    if crd.schema_errors(document):
        return None
    try:
        built = manifests(document, Capabilities(kubernetes=await client.kube.version()))
    except InvalidSpecError:
        return None
    return {child["kind"]: child for child in built}


async def _check_change(
    client: NamespacedClient,
    other: NamespacedClient,
    before: dict[str, dict[str, Any]],
    after: dict[str, dict[str, Any]],
) -> None:
    """Change live children: they become equal to new ones, and a write is due exactly if that changes them."""
    for kind in before.keys() & after.keys():
        if before[kind] == after[kind]:
            continue
        live = await client.apply(before[kind])
        due = difference(after[kind], live, manager=_MANAGER)
        changed, created = await client.apply(after[kind]), await other.create(after[kind])
        assert difference(after[kind], changed, manager=_MANAGER) is None, kind
        assert _common(changed) == _common(created), kind
        assert (due is None) == (_common(live) == _common(created)), (kind, due)


def _common(live: dict[str, Any]) -> dict[str, Any]:
    return comparable(live, owner="pets")


@pytest.mark.timeout(300)
async def test_what_is_removed_from_the_spec_leaves_nothing_in_the_children(
    client: NamespacedClient, other: NamespacedClient
) -> None:
    done: set[str] = set()
    for base in (_SAMPLE, {part: value for part, value in _SAMPLE.items() if part not in _LARGE}):
        whole = await _manifests(client, base)
        assert whole is not None
        for path in _paths(base):
            name = ".".join(map(str, path))
            reduced = None if name in done else await _manifests(client, _without(base, path))
            if reduced is None:
                continue
            done.add(name)
            try:
                await _check_change(client, other, whole, reduced)
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from error
    fields = {".".join(map(str, path)) for path in _paths(_SAMPLE) if all(isinstance(step, str) for step in path)}
    required = {f"{path}.{name}" for path, node in _NODES for name in node.get("required", ())}
    assert fields - done - required == _WITH_THE_OTHER


async def test_what_is_added_to_the_spec_gives_the_children_of_a_new_object(
    client: NamespacedClient, other: NamespacedClient
) -> None:
    whole = await _manifests(client, _SAMPLE)
    assert whole is not None
    for part in _SAMPLE:
        reduced = await _manifests(client, _without(_SAMPLE, (part,)))
        if reduced is not None:
            await _check_change(client, other, reduced, whole)


def _variable(name: str, value: str) -> dict[str, str]:
    return {"name": name, "value": value}


_ZONE, _HOST = _variable("ZONE", "eu"), _variable("HOST", "$(ZONE).example.org")
_POOL, _SPOT = ({"key": f"example.org/{name}", "operator": "Exists"} for name in ("pool", "spot"))
_NEAR, _FAR = ({"podSelector": {"matchLabels": {"app": name}}} for name in ("near", "far"))
_ONE, _TWO = ({"name": name} for name in ("one", "two"))


def _resources(cpu: Any, memory: Any) -> dict[str, Any]:
    amounts = {"cpu": cpu, "memory": memory}
    return {"resources": {"requests": amounts, "limits": amounts}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"runtime": {"env": [_ZONE, _HOST]}}, {"runtime": {"env": [_HOST, _ZONE]}}),
        ({"runtime": {"env": [_HOST]}}, {"runtime": {"env": [_ZONE, _HOST]}}),
        ({"runtime": {"env": [_variable("A", "a")]}}, {"runtime": {"env": [_variable("A", "")]}}),
        ({"scheduling": {"tolerations": [_POOL, _SPOT]}}, {"scheduling": {"tolerations": [_SPOT, _POOL]}}),
        ({"networkPolicy": {"allowFrom": [_NEAR, _FAR]}}, {"networkPolicy": {"allowFrom": [_FAR, _NEAR]}}),
        ({"gateway": {"parentRefs": [_ONE, _TWO]}}, {"gateway": {"parentRefs": [_TWO, _ONE]}}),
        (
            {"gateway": {"parentRefs": [_ONE], "hostnames": ["a.example.org", "b.example.org"]}},
            {"gateway": {"parentRefs": [_ONE], "hostnames": ["b.example.org", "a.example.org"]}},
        ),
        ({"autoscaling": {"minReplicas": 1}}, {"autoscaling": {"minReplicas": 1, "targetMemoryUtilization": 80}}),
        ({"service": {"type": "LoadBalancer"}}, {"service": {"type": "ClusterIP"}}),
        ({"scheduling": {"spread": "Required"}}, {"scheduling": {"spread": "Off"}}),
        ({"model": {"name": "mobilenet-v2"}}, {"model": {"uri": "pvc://models/pets/", "sha256": "0" * 64}}),
    ],
)
async def test_a_change_has_the_result_of_a_new_object_and_is_written_exactly_if_it_changes_anything(
    client: NamespacedClient, other: NamespacedClient, before: dict[str, Any], after: dict[str, Any]
) -> None:
    for first, second in ((before, after), (after, before)):
        built = await _manifests(client, first), await _manifests(client, second)
        assert built[0] is not None
        assert built[1] is not None
        assert built[0] != built[1]
        await _check_change(client, other, built[0], built[1])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (_resources(1, "1Gi"), _resources("1000m", "1024Mi")),
        (_resources("0.5", "1.5Gi"), _resources("500m", 1536 * 1024**2)),
        (_resources("1.500", "1.250Gi"), _resources("1500m", "1280Mi")),
    ],
)
async def test_an_equal_quantity_in_another_notation_is_not_written(
    client: NamespacedClient, one: dict[str, Any], other: dict[str, Any]
) -> None:
    for first, second in ((one, other), (other, one)):
        before, after = await _manifests(client, first), await _manifests(client, second)
        assert before is not None
        assert after is not None
        assert before["Deployment"] != after["Deployment"]
        live = await client.apply(before["Deployment"])
        assert difference(after["Deployment"], live, manager=_MANAGER) is None


async def test_reordered_variables_get_their_order_back_and_another_client_keeps_its_own(
    client: NamespacedClient,
) -> None:
    built = await _manifests(client, {"runtime": {"env": [_ZONE, _HOST]}})
    assert built is not None
    desired = built["Deployment"]
    live = await client.apply(desired)
    (server,) = live["spec"]["template"]["spec"]["containers"]
    ours = [each["name"] for each in server["env"]]
    server["env"] = [_variable("FIRST", "1"), *reversed(server["env"]), _variable("LAST", "1")]
    live["metadata"].pop("managedFields")
    await client.kube.apply(_RESOURCES["Deployment"], live, manager="another-client")
    changed = await client.get(desired)
    assert difference(desired, changed, manager=_MANAGER) == "spec.template.spec.containers.server.env"
    restored = await client.apply(desired)
    assert difference(desired, restored, manager=_MANAGER) is None
    (server,) = restored["spec"]["template"]["spec"]["containers"]
    names = [each["name"] for each in server["env"]]
    assert [name for name in names if name in ours] == ours
    assert set(names) - set(ours) == {"FIRST", "LAST"}
