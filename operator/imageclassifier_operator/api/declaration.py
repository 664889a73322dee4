"""The building blocks of `v1alpha1.py`: parts, fields with bounds, and rules in both CEL and Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from imageclassifier_operator.api.quantity import parse_quantity

FORM = "x-form"
"""A JSON schema key: the allowed values in words. It is for the reference page, and not part of the CRD."""

_CEL_FIELD = re.compile(r"\bself\.([A-Za-z0-9.]+?)(?:\.startsWith\b|(?![A-Za-z0-9.]))")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A condition across fields of a part.

    The API server evaluates `cel` and reports `message`. The operator evaluates `holds`, for objects that were
    stored under an older CRD, and reports `detail`, formatted with the part as `self`, for `field` of the part. A
    rule without `cel` is checked only by the operator.
    """

    message: str
    detail: str
    field: str
    cel: str | None
    reads: tuple[str, ...]
    holds: Callable[[Any], bool]

    def problem(self, part: Part) -> str:
        """Return the operator's message for a part that breaks this rule."""
        return self.detail.format(self=part)


def rule(
    *, message: str, detail: str = "", field: str = "", cel: str | None = None, reads: tuple[str, ...] = ()
) -> Callable[[Callable[[Any], bool]], Rule]:
    """Declare the decorated method as a rule; `reads` are the fields that it reads, by default those in `cel`."""

    def declare(holds: Callable[[Any], bool]) -> Rule:
        return Rule(
            message=message,
            detail=detail or message,
            field=field,
            cel=cel,
            reads=reads if cel is None else _read_by(cel),
            holds=holds,
        )

    return declare


def _read_by(cel: str) -> tuple[str, ...]:
    """Return the fields that an expression reads, without the objects that contain them."""
    paths = set(_CEL_FIELD.findall(cel))
    return tuple(sorted(path for path in paths if not any(other.startswith(f"{path}.") for other in paths)))


class Part(BaseModel):
    """A part of the API. Its docstring and those below its fields are the descriptions in the CRD."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        ignored_types=(Rule,),
    )

    @model_validator(mode="before")
    @classmethod
    def _as_stored(cls, raw: Any) -> Any:
        """Treat null as an absent field, and 2.0 as 2, since JSON has a single number type."""
        if not isinstance(raw, Mapping):
            return raw
        return {
            name: int(value) if isinstance(value, float) and value.is_integer() else value
            for name, value in raw.items()
            if value is not None
        }

    @classmethod
    def rules(cls) -> Iterator[Rule]:
        """Yield the rules of this part."""
        return (value for value in vars(cls).values() if isinstance(value, Rule))

    @classmethod
    def api_names(cls) -> dict[str, str]:
        """Return the API's field names by their Python names."""
        return {name: cast("str", field.validation_alias) for name, field in cls.model_fields.items()}


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`, or only of `kubectl get -o wide`."""

    name: str
    json_path: str
    description: str = ""
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True)
class Text:
    """The bounds of a string. `words` describe what it must be, and are the error message of an invalid one.

    The message never contains the value, which may hold a password.
    """

    most: int
    least: int | None = None
    pattern: str | None = None
    words: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # The API server's \s is ASCII alone, pydantic's has all of Unicode's spaces. All of ours are in brackets.
        pattern = None if self.pattern is None else self.pattern.replace(r"\s", r"\t\n\f\r ")
        schema = core_schema.str_schema(min_length=self.least, max_length=self.most, pattern=pattern, strict=True)
        if not self.words:
            return schema
        message = f"must be {self.words}"
        return core_schema.custom_error_schema(schema, custom_error_type="text", custom_error_message=message)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        pattern = {} if self.pattern is None else {"pattern": self.pattern}
        return {**handler(schema), **pattern, **({FORM: self.words} if self.words else {})}


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """An int-or-string field with a Kubernetes quantity, kept as written, or as a number if `in_bytes`."""

    least: int
    most: int
    longest: int
    pattern: str
    words: str
    in_bytes: bool = False

    def read(self, value: Any) -> str | int:
        """Return the value of the field. Raises ValueError if it is not valid."""
        number = parse_quantity(value)
        if number <= 0:
            raise ValueError(f"must be greater than 0, is {value}")
        if self.in_bytes and not self.least <= number <= self.most:
            raise ValueError(f"must be between {_in_binary(self.least)} and {_in_binary(self.most)}, is {value}")
        if (
            isinstance(value, float)
            or len(str(value)) > self.longest
            or not re.fullmatch(self.pattern, str(value))
        ):
            raise ValueError(f"must be {self.words}, is {value}")
        if isinstance(value, int) and value > self.most:
            raise ValueError(f"must be at most {self.most}, is {value}")
        return int(number) if self.in_bytes else str(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {
            "x-kubernetes-int-or-string": True,
            "minimum": self.least,
            "maximum": self.most,
            "maxLength": self.longest,
            "pattern": self.pattern,
            FORM: f"{_in_binary(self.least)} to {_in_binary(self.most)}" if self.in_bytes else self.words,
        }


def _in_binary(number: int) -> str:
    for power, suffix in ((3, "Gi"), (2, "Mi"), (1, "Ki")):
        if number % 1024**power == 0:
            return f"{number // 1024**power}{suffix}"
    return str(number)


def integer(least: int, most: int | None = None, *, size: str = "int32") -> Any:
    """Return the bounds of an integer; `size` is its OpenAPI format."""
    return Field(ge=least, le=most, strict=True, json_schema_extra={"format": size})


def items(most: int, *, least: int | None = None, merged_as: str, keys: tuple[str, ...] = ()) -> Any:
    """Return the bounds of a list, and how server-side apply merges it: atomic, set or map (by keys)."""
    extra: dict[str, Any] = {"x-kubernetes-list-type": merged_as}
    if keys:
        extra["x-kubernetes-list-map-keys"] = list(keys)
    return Field(min_length=least, max_length=most, json_schema_extra=extra)


def problem(text: str) -> PydanticCustomError:
    """Return the error of a field with this text as its message."""
    return PydanticCustomError("problem", "{text}", {"text": text})
