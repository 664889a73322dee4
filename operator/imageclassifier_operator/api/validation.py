"""Parses a live ImageClassifier to typed values, or reports all problems of its spec.

The API server makes the same checks before it stores an object, except those that CEL cannot express. They are
repeated here, since an object may have been stored under an older CRD.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from imageclassifier_operator.api.declaration import Part
from imageclassifier_operator.api.model_source import Spec, UnknownModelError, resolve
from imageclassifier_operator.api.v1alpha1 import ImageClassifierSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails

    from imageclassifier_operator.api.config import OperatorConfig

    Path = tuple[str | int, ...]

_MESSAGES = {
    **dict.fromkeys(["model_type", "dict_type", "mapping_type"], "must be an object"),
    **dict.fromkeys(["int_type", "int_from_float"], "must be an integer"),
    "tuple_type": "must be a list",
    "bool_type": "must be true or false",
    **dict.fromkeys(["string_type", "string_unicode"], "must be a string"),
    "missing": "{field} is required",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}, is {input}",
    "less_than_equal": "must be at most {le}, is {input}",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have {max_length} or fewer entries",
    "value_error": "{error}",
}
"""The message for each of pydantic's error types. Errors of other types have their message from `v1alpha1.py`."""

_MAX_VALUE_LENGTH = 40


class InvalidSpecError(ValueError):
    """A spec with problems. Each of `problems` is a message that starts with the path of its field."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class ImageClassifier:
    """A live ImageClassifier with a valid spec."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: Spec


@dataclass(frozen=True, kw_only=True)
class _Problem:
    path: Path
    text: str

    def __str__(self) -> str:
        parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        return f"spec{''.join(parts)}: {self.text}"


def parse(live: Mapping[str, Any], *, config: OperatorConfig) -> ImageClassifier:
    """Return a live ImageClassifier as typed values.

    Raises:
        InvalidSpecError: the spec has problems; the error lists all of them, in the order of the spec's fields.
    """
    spec, problems, dropped = _read(live.get("spec") or {})
    problems += _broken_rules(spec, (), dropped)
    source = None
    try:
        source = resolve(spec.model, config=config)
    except UnknownModelError as error:
        if not _overlaps(("model", "name"), dropped):
            problems.append(_Problem(path=("model", "name"), text=str(error)))
    if problems or source is None:
        order = list(ImageClassifierSpec.api_names().values())
        problems.sort(key=lambda problem: order.index(str(problem.path[0])) if problem.path else -1)
        raise InvalidSpecError([str(problem) for problem in problems])
    metadata = live["metadata"]
    return ImageClassifier(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        spec=Spec(**{**dict(spec), "model": source}),
    )


def unknown_fields(spec: Any) -> list[str]:
    """Return a problem for each field that the API does not have: `kubectl apply` rejects an object with one."""
    try:
        ImageClassifierSpec.model_validate(spec, by_alias=True, by_name=False, extra="forbid")
    except ValidationError as error:
        unknown = [each["loc"] for each in error.errors() if each["type"] == "extra_forbidden"]
        return [str(_Problem(path=path, text="is no field of the API")) for path in unknown]
    return []


def _read(raw: Any) -> tuple[ImageClassifierSpec, list[_Problem], list[Path]]:
    """Return the spec without its invalid fields, their problems, and the paths that were dropped.

    The invalid fields are dropped so that the rules on the other fields can still be checked.
    """
    problems: list[_Problem] = []
    dropped: list[Path] = []
    while True:
        try:
            return ImageClassifierSpec.model_validate(raw, by_alias=True, by_name=False), problems, dropped
        except ValidationError as error:
            errors = _without_consequences(error.errors(include_url=False))
        if not dropped:
            problems = [_problem(found) for found in errors]
            raw = copy.deepcopy(raw)
        earlier = set(dropped)
        for found in errors:
            path = _path_to_drop(found)
            while path in earlier:  # the error is still there without this path, so drop what contains it
                path = path[:-1]
            raw = _drop(raw, path)
            dropped.append(path)


def _without_consequences(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Return the errors, without those that are only consequences of other errors."""

    def is_consequence(error: ErrorDetails) -> bool:
        path = error["loc"]
        within = any(len(other["loc"]) > len(path) and other["loc"][: len(path)] == path for other in errors)
        return error["type"] == "default_factory_not_called" or (error["type"] == "too_short" and within)

    return [error for error in errors if not is_consequence(error)]


def _problem(error: ErrorDetails) -> _Problem:
    path, field = error["loc"], ""
    if error["type"] == "missing":
        path, field = path[:-1], str(path[-1])
    elif path and path[-1] == "[key]":
        path = path[:-2]
    text = _MESSAGES.get(error["type"], error["msg"])
    values = {**error.get("ctx", {}), "input": str(error["input"])[:_MAX_VALUE_LENGTH], "field": field}
    return _Problem(path=path, text=text.format(**values) if error["type"] in _MESSAGES else text)


def _path_to_drop(error: ErrorDetails) -> Path:
    """Return the path to drop so that the rest can be read: the field, or the list or object that contains it."""
    path = error["loc"][:-1] if error["type"] == "missing" or error["loc"][-1:] == ("[key]",) else error["loc"]
    return path[: next((index for index, part in enumerate(path) if isinstance(part, int)), len(path))]


def _drop(raw: Any, path: Path) -> Any:
    """Delete the value at a path, and return what is left: an empty object if the path is empty."""
    if not path:
        return {}
    part = raw
    for name in path[:-1]:
        part = part.get(name, {})
    part.pop(path[-1], None)
    return raw


def _broken_rules(part: Part, path: Path, dropped: list[Path]) -> Iterator[_Problem]:
    for name, api_name in part.api_names().items():
        inner = getattr(part, name)
        if isinstance(inner, Part):
            yield from _broken_rules(inner, (*path, api_name), dropped)
        elif isinstance(inner, tuple):
            for index, item in enumerate(inner):
                if isinstance(item, Part):
                    yield from _broken_rules(item, (*path, api_name, index), dropped)
    for rule in part.rules():
        known = not any(_overlaps((*path, *read.split(".")), dropped) for read in rule.reads)
        if known and not rule.holds(part):
            yield _Problem(path=(*path, *rule.field.split(".")) if rule.field else path, text=rule.problem(part))


def _overlaps(path: Path, dropped: list[Path]) -> bool:
    """Return whether one of the dropped paths is this path, or contains it, or is contained in it."""
    return any(path[: len(other)] == other[: len(path)] for other in dropped)
