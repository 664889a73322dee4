"""The CRD and its samples, as the tests read them: schema, defaults, and the errors that samples promise."""

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
SOURCE = FOLDER / "imageclassifiers.yaml"
CATALOGUE = ROOT / "operator" / "deploy" / "catalogue.yaml"

_PROMISE = re.compile(r"^# (error|error-cel|condition): (.+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A sample object and what its comment promises, by kind: error, error-cel, condition.

    A kind can be promised in several lines; `errors` are all the lines in which a server rejects the object.
    """

    path: Path
    document: dict[str, Any]
    promises: dict[str, str]
    errors: list[str]

    @property
    def refused_by_schema(self) -> bool:
        """Whether the structural schema alone rejects it."""
        return "error" in self.promises

    @property
    def refused(self) -> bool:
        """Whether the API server rejects it, by its schema or by a CEL rule."""
        return bool(self.errors)


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


@functools.cache
def schema() -> dict[str, Any]:
    """Return the schema of the one version that there is; shared, so never to be changed."""
    found: dict[str, Any] = load(SOURCE)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def samples(kind: str) -> list[Sample]:
    """Return the samples of `valid` or `invalid`."""
    return [
        _sample(path, _PROMISE.findall(path.read_text()))
        for path in sorted((FOLDER / "samples" / kind).glob("*.yaml"))
    ]


def _sample(path: Path, promises: list[tuple[str, str]]) -> Sample:
    return Sample(
        path=path,
        document=load(path),
        promises=dict(reversed(promises)),  # of several lines the first is the one that matters
        errors=[text for kind, text in promises if kind.startswith("error")],
    )


def defaulted(value: Any, part: dict[str, Any]) -> Any:
    """Return a value as the API server stores it: nulls dropped, unknown fields dropped, defaults filled in."""
    if isinstance(value, list):
        return [defaulted(item, part["items"]) for item in value]
    if not isinstance(value, dict):
        return value
    result = {key: item for key, item in value.items() if item is not None}
    known = part.get("properties")
    if known is None:
        return result
    for key, inner in known.items():
        if key not in result and "default" in inner:
            result[key] = copy.deepcopy(inner["default"])
    opaque = not known  # such as metadata, which the server knows by itself
    return {
        key: defaulted(item, known[key]) if key in known else item
        for key, item in result.items()
        if key in known or opaque
    }


def schema_errors(document: dict[str, Any]) -> list[str]:
    """Return what the structural schema has against a document, as `path message`."""
    whole = schema()
    stored = defaulted(document, whole)
    validator = jsonschema.Draft202012Validator(_in_plain_words(whole))
    return [
        f"{'.'.join(map(str, error.absolute_path))} {error.message}" for error in validator.iter_errors(stored)
    ]


def _in_plain_words(part: Any) -> Any:
    """Return a schema whose int-or-string fields say so in JSON Schema's own words."""
    if isinstance(part, list):
        return [_in_plain_words(item) for item in part]
    if not isinstance(part, dict):
        return part
    result = {key: _in_plain_words(value) for key, value in part.items()}
    return {**result, "type": ["integer", "string"]} if part.get("x-kubernetes-int-or-string") is True else result


def nodes(part: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every node of a schema with its path; items of a list are `[]`, values of a map `{}`."""
    yield path, part
    for name, inner in part.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}" if path else name)
    if "items" in part:
        yield from nodes(part["items"], f"{path}[]")
    if isinstance(part.get("additionalProperties"), dict):
        yield from nodes(part["additionalProperties"], f"{path}{{}}")
