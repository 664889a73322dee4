"""Each field of the schema follows Kubernetes' API conventions."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests import crd

_NODES = [
    (path, node) for path, node in crd.nodes(crd.schema()) if path not in {"", "apiVersion", "kind", "metadata"}
]
_SPEC = [(path, node) for path, node in _NODES if path.startswith("spec")]


def _ids(nodes: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [path for path, _ in nodes]


def _of_type(kind: str, nodes: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    return [(path, node) for path, node in nodes if node.get("type") == kind]


@pytest.mark.parametrize(("path", "node"), _NODES, ids=_ids(_NODES))
def test_every_field_is_described_in_a_sentence(path: str, node: dict[str, Any]) -> None:
    if path.endswith("{}"):
        return
    assert re.fullmatch(r"[A-Z].*[.)]|[A-Z].*sha256sum", node["description"], re.DOTALL)


@pytest.mark.parametrize(("path", "node"), _of_type("array", _NODES), ids=_ids(_of_type("array", _NODES)))
def test_every_list_has_a_list_type_and_a_maximum(path: str, node: dict[str, Any]) -> None:
    assert node["x-kubernetes-list-type"] in {"atomic", "map", "set"}
    assert node["maxItems"] > 0


@pytest.mark.parametrize(("path", "node"), _of_type("string", _NODES), ids=_ids(_of_type("string", _NODES)))
def test_every_string_has_a_maximum_length(path: str, node: dict[str, Any]) -> None:
    assert "enum" in node or "maxLength" in node or node.get("format") == "date-time"


@pytest.mark.parametrize(("path", "node"), _of_type("integer", _SPEC), ids=_ids(_of_type("integer", _SPEC)))
def test_every_number_of_the_spec_has_a_minimum_and_a_maximum(path: str, node: dict[str, Any]) -> None:
    assert node["minimum"] < node["maximum"]
    assert node["format"] in {"int32", "int64"}


def test_quantities_are_bounded_as_numbers_and_as_strings() -> None:
    quantities = [node for _, node in _SPEC if node.get("x-kubernetes-int-or-string")]
    assert quantities
    for node in quantities:
        assert {"minimum", "maximum", "maxLength", "pattern"} <= set(node)


def test_there_are_no_floats_and_no_booleans_except_those_of_kubernetes_own_objects() -> None:
    found = [path for path, node in _NODES if node.get("type") in {"number", "boolean"}]
    assert found == ["spec.runtime.hostUsers", "spec.paused"]  # as in a PodSpec, and in a Deployment


def test_maps_are_bounded() -> None:
    maps = [node for _, node in _NODES if "additionalProperties" in node]
    assert maps
    assert all("maxProperties" in node for node in maps)


def test_no_field_is_free_form() -> None:
    free = [
        path
        for path, node in _NODES
        if node.get("x-kubernetes-preserve-unknown-fields")
        or (node.get("type") == "object" and not ({"properties", "additionalProperties"} & set(node)))
    ]
    assert not free


def test_enums_are_in_camel_case() -> None:
    for _, node in _NODES:
        # number formats keep their usual names
        assert all(re.fullmatch(r"[A-Z][A-Za-z]+|FP32|INT8", value) for value in node.get("enum", []))


def test_objects_of_the_spec_have_defaults_except_those_that_enable_a_feature() -> None:
    objects = [path for path, node in _of_type("object", _SPEC) if node.get("default") != {} and "[]" not in path]
    assert objects == [
        "spec.model.credentialsSecretRef",
        "spec.model.s3",
        "spec.autoscaling",
        "spec.cache",
        "spec.cache.redis",
        "spec.cache.redis.credentialsSecretRef",
        "spec.runtime.caConfigMapRef",
        "spec.scheduling.affinity",
        "spec.scheduling.affinity.nodeAffinity",
        "spec.scheduling.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution",
        "spec.scheduling.affinity.podAffinity",
        "spec.scheduling.affinity.podAntiAffinity",
        "spec.ingress",
        "spec.gateway",
        "spec.networkPolicy",
        "spec.tracing",
        "spec.tracing.headersSecretRef",
        "spec.security.apiKeysSecretRef",
        "spec.security.rateLimit",
    ]


def test_no_model_is_a_default() -> None:
    # a default name would remain in the object when a later `kubectl apply` sets a uri
    fields = crd.schema()["properties"]["spec"]["properties"]["model"]["properties"]
    assert [name for name, field in fields.items() if "default" in field] == ["precision"]  # for every model


def test_conditions_are_a_map_by_type() -> None:
    conditions = crd.schema()["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
