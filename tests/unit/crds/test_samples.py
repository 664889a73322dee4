"""Every sample is valid, or is rejected with the error in its comment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from imageclassifier_operator.api import ImageClassifier, InvalidSpecError, OperatorConfig, parse, parse_catalogue

from tests import crd

if TYPE_CHECKING:
    from collections.abc import Iterator

_VALID = crd.samples("valid")
_INVALID = crd.samples("invalid")
_REJECTED = [sample for sample in _INVALID if sample.rejected_by_schema]
_ACCEPTED = [sample for sample in _INVALID if not sample.rejected_by_schema]


def _name(sample: crd.Sample) -> str:
    return sample.path.stem


def _parse(document: dict[str, Any]) -> ImageClassifier:
    config = OperatorConfig(runtime_image="runtime:test", catalogue=parse_catalogue(crd.CATALOGUE.read_text()))
    stored = crd.defaulted(document, crd.schema())
    stored["metadata"] |= {"namespace": "vision", "uid": "0b8e5a0e-0000-4000-8000-000000000000"}
    return parse(stored, config=config)


@pytest.mark.parametrize("sample", _VALID, ids=_name)
def test_a_valid_sample_matches_the_schema_and_is_parsed(sample: crd.Sample) -> None:
    assert not crd.schema_errors(sample.document)
    assert _parse(sample.document).name == sample.document["metadata"]["name"]


@pytest.mark.parametrize("sample", [*_VALID, *_INVALID], ids=_name)
def test_a_sample_has_the_name_of_its_file(sample: crd.Sample) -> None:
    assert sample.document["metadata"]["name"] == sample.path.stem


@pytest.mark.parametrize("sample", _INVALID, ids=_name)
def test_the_comment_of_an_invalid_sample_has_an_error_or_a_condition(sample: crd.Sample) -> None:
    assert set(sample.expected) in ({"error"}, {"condition"}, {"error-cel", "condition"})


@pytest.mark.parametrize("sample", _REJECTED, ids=_name)
def test_the_schema_rejects_the_field_in_the_comment(sample: crd.Sample) -> None:
    field = re.sub(r"\[\d+\]", "", sample.expected["error"].split(" ")[0].rstrip(":"))
    errors = crd.schema_errors(sample.document)
    assert errors
    # jsonschema's paths have the indexes of lists, and end above a missing field
    paths = [".".join(part for part in error.split(" ")[0].split(".") if not part.isdigit()) for error in errors]
    assert all(field.startswith(path) for path in paths)


@pytest.mark.parametrize("sample", _ACCEPTED, ids=_name)
def test_the_operator_rejects_what_the_schema_cannot_express(sample: crd.Sample) -> None:
    assert not crd.schema_errors(sample.document)
    with pytest.raises(InvalidSpecError) as raised:
        _parse(sample.document)
    assert str(raised.value) == sample.expected["condition"]


def test_the_sample_every_field_has_every_field_with_a_value_other_than_its_default() -> None:
    sample = next(sample for sample in _VALID if sample.path.stem == "every-field")
    defaults = crd.defaulted(yaml.safe_load("{metadata: {name: x}, spec: {autoscaling: {}}}"), crd.schema())
    leaves = {path.removeprefix("spec.") for path, node in crd.nodes(crd.schema()) if _is_leaf(path, node)}
    fields = {path.removesuffix("{}") for path in leaves}
    values = dict(_values(sample.document["spec"], fields))
    default_values = dict(_values(defaults["spec"], fields))
    # a model and a service account are given in one of two ways
    assert fields - {"model.name", "runtime.serviceAccountAnnotations"} == values.keys()
    # the exceptions are those of which another choice would disable other fields of the sample
    same = {path for path, value in values.items() if default_values.get(path) == value}
    assert same == {"autoscaling.behavior.scaleDown.selectPolicy", "disruption.budget", "paused"}


def test_the_sample_every_field_has_every_field_of_the_items_of_lists() -> None:
    sample = next(sample for sample in _VALID if sample.path.stem == "every-field")
    declared = {
        path.rpartition(".")[2].removesuffix("[]")
        for path, _ in crd.nodes(crd.schema()["properties"]["spec"])
        if "[]." in path and not path.endswith("{}")
    }
    assert declared - set(_names(sample.document["spec"])) == set()


def _names(value: Any) -> Iterator[str]:
    """Yield the names of all fields, at any depth; the same parts occur in several lists."""
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _names(inner)


def _is_leaf(path: str, node: dict[str, Any]) -> bool:
    return path.startswith("spec.") and "[]" not in path and node.get("type") != "object"


def _values(value: Any, fields: set[str], path: str = "") -> list[tuple[str, Any]]:
    """Return the values of the fields by path; a map is one value, and so is an unknown field."""
    if path in fields or not isinstance(value, dict):
        return [(path, value)]
    inner = [(f"{path}.{key}" if path else str(key), below) for key, below in value.items()]
    return [pair for name, below in inner for pair in _values(below, fields, name)]
