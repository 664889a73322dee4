"""Loads the CRD's schema and samples for the tests, and fills in defaults as the API server does."""

from __future__ import annotations

import copy
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "crds"
DEFINITION = FOLDER / "imageclassifiers.yaml"
CATALOGUE = ROOT / "operator" / "deploy" / "catalogue.yaml"

_EXPECTATION = re.compile(r"^# (error|error-cel|condition): (.+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A sample object and the result that its comments state: error, error-cel or condition.

    `expected` has the first line of each kind, `errors` all errors with which the API server rejects the object.
    """

    path: Path
    document: dict[str, Any]
    expected: dict[str, str]
    errors: list[str]

    @property
    def rejected_by_schema(self) -> bool:
        """Whether the structural schema rejects it, so that no CEL rule is evaluated."""
        return "error" in self.expected

    @property
    def rejected(self) -> bool:
        """Whether the API server rejects it, by its schema or by a CEL rule."""
        return bool(self.errors)


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


@functools.cache
def schema() -> dict[str, Any]:
    """Return the schema of the only version. It is cached: do not modify it."""
    cached: dict[str, Any] = load(DEFINITION)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return cached


def samples(kind: str) -> list[Sample]:
    """Return the samples of `valid` or `invalid`."""
    return [
        _sample(path, _EXPECTATION.findall(path.read_text()))
        for path in sorted((FOLDER / "samples" / kind).glob("*.yaml"))
    ]


def _sample(path: Path, expectations: list[tuple[str, str]]) -> Sample:
    return Sample(
        path=path,
        document=load(path),
        expected=dict(reversed(expectations)),  # keeps the first line of each kind
        errors=[text for kind, text in expectations if kind.startswith("error")],
    )


def defaulted(value: Any, part: dict[str, Any]) -> Any:
    """Return a value as the API server stores it: without nulls and unknown fields, with defaults."""
    if isinstance(value, list):
        return [defaulted(item, part["items"]) for item in value]
    if not isinstance(value, dict):
        return value
    result = {key: item for key, item in value.items() if item is not None}
    properties = part.get("properties")
    if properties is None:
        return result
    for key, inner in properties.items():
        if key not in result and "default" in inner:
            result[key] = copy.deepcopy(inner["default"])
    opaque = not properties  # for example metadata, whose schema is built into the server
    return {
        key: defaulted(item, properties[key]) if key in properties else item
        for key, item in result.items()
        if key in properties or opaque
    }


def schema_errors(document: dict[str, Any]) -> list[str]:
    """Return the errors of a document against the structural schema, as `path message`."""
    definition = schema()
    stored = defaulted(document, definition)
    validator = jsonschema.Draft202012Validator(_as_json_schema(definition))
    return [
        f"{'.'.join(map(str, error.absolute_path))} {error.message}" for error in validator.iter_errors(stored)
    ]


def _as_json_schema(part: Any) -> Any:
    """Return a schema whose int-or-string fields have the JSON Schema types integer and string."""
    if isinstance(part, list):
        return [_as_json_schema(item) for item in part]
    if not isinstance(part, dict):
        return part
    result = {key: _as_json_schema(value) for key, value in part.items()}
    return {**result, "type": ["integer", "string"]} if part.get("x-kubernetes-int-or-string") is True else result


def nodes(part: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each node of a schema with its path; list items have the path `[]`, map values `{}`."""
    yield path, part
    for name, inner in part.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}" if path else name)
    if "items" in part:
        yield from nodes(part["items"], f"{path}[]")
    if isinstance(part.get("additionalProperties"), dict):
        yield from nodes(part["additionalProperties"], f"{path}{{}}")
