"""The spec after `kubectl apply` of a file, client-side and server-side."""

from __future__ import annotations

import json
from typing import Any

import pytest
from imageclassifier_operator.three_way_merge import merged_spec

LIVE = {"replicas": 2, "resources": {"limits": {"cpu": "500m", "memory": "512Mi"}}, "upgrade": "Automatic"}
"""A stored spec: `replicas` and `limits.memory` were set, the others are defaults of an older CRD."""

SET = {"replicas": 2, "resources": {"limits": {"memory": "512Mi"}}}
FIELDS: dict[str, Any] = {"f:replicas": {}, "f:resources": {"f:limits": {"f:memory": {}}}}


def annotated(applied: Any, spec: dict[str, Any] = LIVE) -> dict[str, Any]:
    text = applied if isinstance(applied, str) else json.dumps(applied)
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": text}
    return {"metadata": {"annotations": annotations}, "spec": spec}


def managed(*entries: dict[str, Any], spec: dict[str, Any] = LIVE) -> dict[str, Any]:
    return {"metadata": {"managedFields": list(entries)}, "spec": spec}


def entry(fields: dict[str, Any], operation: str = "Apply", **more: str) -> dict[str, Any]:
    return {"manager": "kubectl", "operation": operation, "fieldsV1": {"f:spec": fields}, **more}


APPLIED = [annotated({"spec": SET}), managed(entry(FIELDS))]


@pytest.mark.parametrize("live", APPLIED, ids=["client-side", "server-side"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (SET, LIVE),
        ({**SET, "replicas": 3}, {**LIVE, "replicas": 3}),
        ({**SET, "upgrade": "Manual"}, {**LIVE, "upgrade": "Manual"}),
        ({**SET, "resources": {"limits": {"cpu": "1"}}}, {**LIVE, "resources": {"limits": {"cpu": "1"}}}),
        ({**SET, "resources": {"limits": {}}}, {**LIVE, "resources": {"limits": {"cpu": "500m"}}}),
        ({"resources": SET["resources"]}, {key: LIVE[key] for key in ("resources", "upgrade")}),
        ({"replicas": 2}, {"replicas": 2, "upgrade": "Automatic"}),
        ({**SET, "replicas": None}, {key: LIVE[key] for key in ("resources", "upgrade")}),
        ({**SET, "upgrade": None}, LIVE),
        ({**SET, "cache": {"maxBytes": 0, "redis": None}}, {**LIVE, "cache": {"maxBytes": 0}}),
        ({**SET, "exposure": {"ingress": {"host": "a"}}}, {**LIVE, "exposure": {"ingress": {"host": "a"}}}),
    ],
)
def test_only_a_field_that_was_applied_before_is_removed(
    live: dict[str, Any], given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert merged_spec(live, {"spec": given}) == expected


@pytest.mark.parametrize("given", [{}, {"spec": None}, {"spec": {}}])
def test_a_file_without_a_spec_removes_all_that_was_applied(given: dict[str, Any]) -> None:
    for live in APPLIED:
        assert merged_spec(live, given) == {"upgrade": "Automatic"}


def test_a_list_is_replaced_as_a_whole() -> None:
    spec = {"runtime": {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}}
    fields: dict[str, Any] = {"f:runtime": {"f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}}}}
    given = {"spec": {"runtime": {"env": [{"name": "A", "value": "3"}]}}}
    for live in (annotated({"spec": spec}, spec), managed(entry(fields), spec=spec)):
        assert merged_spec(live, given) == given["spec"]
        assert merged_spec(live, {"spec": {}}) == {}


def test_the_annotation_takes_precedence_over_managed_fields() -> None:
    live = annotated({"spec": {}})
    live["metadata"]["managedFields"] = [entry(FIELDS)]
    assert merged_spec(live, {"spec": {}}) == LIVE


def test_the_fields_of_all_managers_that_apply_count() -> None:
    live = managed(entry({"f:replicas": {}}), entry({"f:resources": {"f:limits": {"f:cpu": {}}}}))
    expected = {"resources": {"limits": {"memory": "512Mi"}}, "upgrade": "Automatic"}
    assert merged_spec(live, {"spec": {"resources": {"limits": {}}}}) == expected


@pytest.mark.parametrize(
    "live",
    [
        managed(),
        managed(entry(FIELDS, "Update")),
        managed(entry(FIELDS, subresource="scale")),
        managed({"operation": "Apply", "fieldsV1": {"f:metadata": {"f:labels": {"f:a": {}}}}}),
        annotated("{"),
        annotated("[]"),
        {"metadata": {}, "spec": LIVE},
    ],
)
def test_without_a_record_of_what_was_applied_the_spec_is_that_of_the_file(live: dict[str, Any]) -> None:
    assert merged_spec(live, {"spec": {"replicas": 1}}) == {"replicas": 1}
