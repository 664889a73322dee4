"""Parses a live object to a typed spec, or reports all problems of it.

The API server checks the same before it stores an object, except what CEL cannot express. The checks are repeated
here for objects that were stored under an older CRD.
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

_TEXTS = {
    **dict.fromkeys(["model_type", "dict_type", "mapping_type"], "must be an object"),
    **dict.fromkeys(["int_type", "int_from_float"], "must be an integer"),
    "tuple_type": "must be a list",
    **dict.fromkeys(["string_type", "string_unicode"], "must be a string"),
    "missing": "{field} is required",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}, is {input}",
    "less_than_equal": "must be at most {le}, is {input}",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have {max_length} or fewer entries",
    "value_error": "{error}",
}
"""Messages by pydantic's error type; other errors have messages declared in the API."""

_LONGEST_VALUE = 40


class InvalidSpecError(ValueError):
    """A spec that cannot be served; `problems` are sentences, each naming its field."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class ImageClassifier:
    """One object: its identity, and its valid spec."""

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
    """Return the typed object behind a live ImageClassifier.

    Raises:
        InvalidSpecError: with every problem, in the order of the spec's fields.
    """
    spec, problems, dropped = _read(live.get("spec") or {})
    problems += _broken_rules(spec, (), dropped)
    source = None
    try:
        source = resolve(spec.model, config=config)
    except UnknownModelError as error:
        if not _touches(("model", "name"), dropped):
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


def _read(raw: Any) -> tuple[ImageClassifierSpec, list[_Problem], list[Path]]:
    """Return a spec and the problems of its fields; invalid fields are dropped, so the rest can be checked."""
    problems: list[_Problem] = []
    dropped: list[Path] = []
    while True:
        try:
            return ImageClassifierSpec.model_validate(raw, by_alias=True, by_name=False), problems, dropped
        except ValidationError as error:
            errors = _causes(error.errors(include_url=False))
        if not dropped:
            problems = [_problem(found) for found in errors]
            raw = copy.deepcopy(raw)
        earlier = set(dropped)
        for found in errors:
            path = _droppable(found)
            while path in earlier:  # to drop it changed nothing
                path = path[:-1]
            raw = _without(raw, path)
            dropped.append(path)


def _causes(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Return the errors without those that only follow from another one."""

    def follows(error: ErrorDetails) -> bool:
        path = error["loc"]
        within = any(len(other["loc"]) > len(path) and other["loc"][: len(path)] == path for other in errors)
        return error["type"] == "default_factory_not_called" or (error["type"] == "too_short" and within)

    return [error for error in errors if not follows(error)]


def _problem(error: ErrorDetails) -> _Problem:
    path, field = error["loc"], ""
    if error["type"] == "missing":
        path, field = path[:-1], str(path[-1])
    elif path and path[-1] == "[key]":
        path = path[:-2]
    text = _TEXTS.get(error["type"], error["msg"])
    values = {**error.get("ctx", {}), "input": str(error["input"])[:_LONGEST_VALUE], "field": field}
    return _Problem(path=path, text=text.format(**values) if error["type"] in _TEXTS else text)


def _droppable(error: ErrorDetails) -> Path:
    """Return the path to drop, so that the rest can be read: a field, or the list or object that it is in."""
    path = error["loc"][:-1] if error["type"] == "missing" or error["loc"][-1:] == ("[key]",) else error["loc"]
    return path[: next((index for index, part in enumerate(path) if isinstance(part, int)), len(path))]


def _without(raw: Any, path: Path) -> Any:
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
    for rule in part.rules():
        known = not any(_touches((*path, *read.split(".")), dropped) for read in rule.reads)
        if known and not rule.holds(part):
            yield _Problem(path=(*path, *rule.field.split(".")) if rule.field else path, text=rule.problem(part))


def _touches(path: Path, dropped: list[Path]) -> bool:
    """Return whether a field, one that contains it or one in it was dropped."""
    return any(path[: len(other)] == other[: len(path)] for other in dropped)
