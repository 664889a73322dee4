"""Every CEL rule can be evaluated where a server does so: on raw schema defaults, and on complete objects."""

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
def test_rules_hold_on_the_raw_default_of_every_node(path: str, node: dict[str, Any]) -> None:
    assert not list(cel.violations(node["default"], node, path))


@pytest.mark.parametrize(
    ("path", "node", "rule"), _RULES, ids=[f"{path}: {rule['message']}" for path, _, rule in _RULES]
)
def test_a_rule_holds_on_its_own_nodes_raw_default_and_on_an_empty_object(
    path: str, node: dict[str, Any], rule: dict[str, str]
) -> None:
    assert set(rule) == {"rule", "message"}
    assert cel.holds(rule["rule"], node.get("default", {})), path
    assert cel.holds(rule["rule"], {}), path


@pytest.mark.parametrize(
    "unguarded",
    ["self.maxSurge > 0 || self.maxUnavailable > 0", "self.batching.maxBatchSize <= self.limits.maxQueueSize"],
)
def test_a_rule_that_reads_an_absent_field_is_an_error_as_on_a_server(unguarded: str) -> None:
    with pytest.raises(CELEvalError, match="no such member"):
        cel.holds(unguarded, {})


@pytest.mark.parametrize("sample", _VALID, ids=lambda sample: sample.path.stem)
def test_a_valid_sample_breaks_no_rule(sample: crd.Sample) -> None:
    assert _violations(sample.document) == []


@pytest.mark.parametrize("sample", _INVALID, ids=lambda sample: sample.path.stem)
def test_an_invalid_sample_breaks_the_rule_that_it_promises_and_no_other(sample: crd.Sample) -> None:
    if sample.refused_by_schema:  # a server does not get as far as the rules
        return
    promised = sample.promises.get("error-cel")
    expected = [] if promised is None else [promised.replace(": Invalid value: ", ": ")]
    assert _violations(sample.document) == expected


def test_every_rule_has_a_sample_that_breaks_it() -> None:
    broken = {
        message for sample in _INVALID if not sample.refused_by_schema for message in _violations(sample.document)
    }
    assert broken == {f"{path}: {rule['message']}" for path, _, rule in _RULES}
