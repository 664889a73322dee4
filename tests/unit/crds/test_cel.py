"""The API server can evaluate every CEL rule: on the schema's own defaults, and on complete objects."""

from __future__ import annotations

from typing import Any

import pytest
from celpy.evaluation import CELEvalError

from tests import cel, crd

_VALID = crd.samples("valid")
_INVALID = crd.samples("invalid")
_NODES = [(path, node) for path, node in crd.nodes(crd.schema()) if "default" in node]
_RULES = [
    (path, node, rule)
    for path, node in crd.nodes(crd.schema())
    for rule in node.get("x-kubernetes-validations", [])
]


def _violations(document: dict[str, Any]) -> list[str]:
    stored = crd.defaulted(document, crd.schema())
    return list(cel.violations(stored, crd.schema()))


@pytest.mark.parametrize(("path", "node"), _NODES, ids=[path for path, _ in _NODES])
def test_rules_hold_on_the_default_of_every_node(path: str, node: dict[str, Any]) -> None:
    assert not list(cel.violations(node["default"], node, path))


@pytest.mark.parametrize(
    ("path", "node", "rule"), _RULES, ids=[f"{path}: {rule['message']}" for path, _, rule in _RULES]
)
def test_a_rule_holds_on_the_default_of_its_node_and_on_an_empty_object(
    path: str, node: dict[str, Any], rule: dict[str, str]
) -> None:
    assert set(rule) == {"rule", "message"}
    assert cel.holds(rule["rule"], node.get("default", {})), path
    assert cel.holds(rule["rule"], {}), path


@pytest.mark.parametrize(
    "unguarded",
    ["self.maxSurge > 0 || self.maxUnavailable > 0", "self.batching.maxBatchSize <= self.limits.maxQueueSize"],
)
def test_a_rule_that_reads_an_absent_field_is_an_error_as_in_the_api_server(unguarded: str) -> None:
    with pytest.raises(CELEvalError, match="no such member"):
        cel.holds(unguarded, {})


@pytest.mark.parametrize("sample", _VALID, ids=lambda sample: sample.path.stem)
def test_a_valid_sample_violates_no_rule(sample: crd.Sample) -> None:
    assert _violations(sample.document) == []


@pytest.mark.parametrize("sample", _INVALID, ids=lambda sample: sample.path.stem)
def test_an_invalid_sample_violates_only_the_rule_in_its_comment(sample: crd.Sample) -> None:
    if sample.rejected_by_schema:  # the API server does not evaluate the rules
        return
    error = sample.expected.get("error-cel")
    expected = [] if error is None else [error.replace(": Invalid value: ", ": ")]
    assert _violations(sample.document) == expected


def test_every_rule_has_a_sample_that_violates_it() -> None:
    violated = {
        violation.partition(": ")[2]
        for sample in _INVALID
        if not sample.rejected_by_schema
        for violation in _violations(sample.document)
    }
    assert violated == {rule["message"] for _, _, rule in _RULES}
