"""Names, labels, owners and selectors of all children."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.children import CHILDREN
from imageclassifier_operator.labels import MANAGED_BY
from imageclassifier_operator.manifests import Capabilities

from tests.unit.operator.manifests.building import built

if TYPE_CHECKING:
    from collections.abc import Iterator

_WITH_ALL_CHILDREN: dict[str, Any] = {
    "autoscaling": {},
    "ingress": {"host": "pets.example.org"},
    "gateway": {"parentRefs": [{"name": "public"}]},
    "networkPolicy": {},
}


def test_the_spec_of_these_tests_has_every_child() -> None:
    assert list(built(_WITH_ALL_CHILDREN)) == [child.kind for child in CHILDREN]


def test_children_are_ordered_by_their_dependencies() -> None:
    order = list(built(_WITH_ALL_CHILDREN))
    assert order.index("ServiceAccount") < order.index("Deployment") < order.index("HorizontalPodAutoscaler")


def test_without_autoscaling_there_is_no_autoscaler() -> None:
    assert "HorizontalPodAutoscaler" not in built()


@pytest.mark.parametrize("kind", list(built(_WITH_ALL_CHILDREN)))
def test_a_child_has_an_owner_reference_and_the_labels(kind: str) -> None:
    metadata = built(_WITH_ALL_CHILDREN)[kind]["metadata"]
    assert metadata["name"] == "pets"
    assert metadata["namespace"] == "vision"
    assert metadata["labels"]["app.kubernetes.io/managed-by"] == MANAGED_BY
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "imageclassifier.dev/v1alpha1",
            "kind": "ImageClassifier",
            "name": "pets",
            "uid": "uid-1",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def test_a_child_with_a_shortened_name_references_its_owner_by_the_full_name() -> None:
    children = built(_WITH_ALL_CHILDREN, name="3.pets")
    assert {child["metadata"]["ownerReferences"][0]["name"] for child in children.values()} == {"3.pets"}
    names = {child["metadata"]["name"] for child in children.values()}
    assert len(names) == 1
    assert names != {"3.pets"}


def test_selectors_match_the_labels_of_the_pods() -> None:
    children = built(_WITH_ALL_CHILDREN)
    labels = children["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    assert children["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels
    assert children["Service"]["spec"]["selector"].items() <= labels
    monitored = children["ServiceMonitor"]["spec"]["selector"]["matchLabels"].items()
    assert monitored <= children["Service"]["metadata"]["labels"].items()


def test_two_objects_never_select_each_others_pods() -> None:
    one, other = built(name="pets"), built(name="pets.two")
    selector = one["Service"]["spec"]["selector"]
    assert not selector.items() <= other["Deployment"]["spec"]["template"]["metadata"]["labels"].items()


def test_the_service_and_the_monitor_use_the_port_that_the_pod_names() -> None:
    children = built()
    ports = children["Deployment"]["spec"]["template"]["spec"]["containers"][0]["ports"]
    (port,) = children["Service"]["spec"]["ports"]
    (endpoint,) = children["ServiceMonitor"]["spec"]["endpoints"]
    assert port["targetPort"] in {named["name"] for named in ports}
    assert endpoint["port"] == port["name"]


@pytest.mark.parametrize("kind", list(built(_WITH_ALL_CHILDREN)))
def test_manifests_have_no_value_that_the_api_server_would_drop(kind: str) -> None:
    # the API server drops empty strings, lists and maps and most false values, so they would always differ
    kept = {"allowPrivilegeEscalation", "automountServiceAccountToken", "enableServiceLinks"}
    for path, value in _leaves(built(_WITH_ALL_CHILDREN)[kind]):
        if path[-1] in {"namespaceSelector", "podSelector"}:  # an empty one selects everything, and is kept
            continue
        assert value not in ("", [], {}, None), path
        assert value is not False or path[-1] in kept, path


@pytest.mark.parametrize("kind", list(built(_WITH_ALL_CHILDREN)))
def test_two_builds_share_no_mutable_value(kind: str) -> None:
    first = built(_WITH_ALL_CHILDREN)[kind]
    before = copy.deepcopy(first)
    _modify(first)
    assert built(_WITH_ALL_CHILDREN)[kind] == before


@pytest.mark.parametrize(
    ("mode", "served", "expected"),
    [
        ("Auto", True, True),
        ("Auto", False, False),
        ("Enabled", True, True),
        ("Enabled", False, True),
        ("Disabled", True, False),
        ("Disabled", False, False),
    ],
)
def test_a_service_monitor_depends_on_the_mode_and_the_capability(mode: str, served: bool, expected: bool) -> None:
    children = built({"monitoring": {"serviceMonitor": mode}}, capabilities=Capabilities(service_monitors=served))
    assert ("ServiceMonitor" in children) is expected


def test_a_partial_behavior_keeps_the_other_defaults() -> None:
    partial = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    behavior = built({"autoscaling": {"behavior": partial}})["HorizontalPodAutoscaler"]["spec"]["behavior"]
    default = built(_WITH_ALL_CHILDREN)["HorizontalPodAutoscaler"]["spec"]["behavior"]
    assert behavior["scaleUp"] == default["scaleUp"]
    assert behavior["scaleDown"] == {**default["scaleDown"], "stabilizationWindowSeconds": 60}


def test_replicas_are_left_to_the_autoscaler() -> None:
    assert "replicas" not in built(_WITH_ALL_CHILDREN)["Deployment"]["spec"]
    assert built({"replicas": 0})["Deployment"]["spec"]["replicas"] == 0


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    inner: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = False
    for key, item in inner:
        found = True
        yield from _leaves(item, (*path, key))
    if not found:
        yield path, value


def _modify(value: Any) -> None:
    if isinstance(value, dict):
        for inner in value.values():
            _modify(inner)
        value["modified"] = True
    elif isinstance(value, list):
        for inner in value:
            _modify(inner)
        value.append("modified")
