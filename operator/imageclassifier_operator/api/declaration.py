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

ALLOWED_VALUES = "x-allowed-values"
"""A key of our JSON schema: the allowed values, in words, for the reference page. The CRD does not have it."""

_CEL_FIELD = re.compile(r"\bself\.([A-Za-z0-9_.]+?)(?:\.(?:startsWith|all|exists_one)\b|(?![A-Za-z0-9_.]))")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A condition across fields of a part.

    The API server evaluates `cel`, and reports `message`. The operator evaluates `holds`, since an object may have
    been stored under an older CRD, and reports `detail` for `field`, a field of the part. In `detail`, `{self}` is
    the part. `reads` are the fields that the rule reads. A rule without `cel` is checked only by the operator.
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
    """Return a decorator that makes a method a rule. With `cel`, the fields that it reads are found in `cel`."""

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
    """Return the paths of the fields that a CEL expression reads, without those of objects that contain them."""
    paths = {path.replace("__dash__", "-") for path in _CEL_FIELD.findall(cel)}
    return tuple(sorted(path for path in paths if not any(other.startswith(f"{path}.") for other in paths)))


class Part(BaseModel):
    """An object in the API, such as the spec or one of its sections.

    Its docstring, and those below its fields, are the descriptions in the CRD.
    """

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
        """Treat a null value as an absent field, and 2.0 as 2, since JSON has only one type of number."""
        if not isinstance(raw, Mapping):
            return raw
        return {
            name: int(value) if isinstance(value, float) and value.is_integer() else value
            for name, value in raw.items()
            if value is not None
        }

    @classmethod
    def rules(cls) -> Iterator[Rule]:
        """Return the rules of this part."""
        return (value for value in vars(cls).values() if isinstance(value, Rule))

    @classmethod
    def api_names(cls) -> dict[str, str]:
        """Return the name of each field in the API, by its name in Python."""
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
    """The bounds of a string. If it is invalid, the error message is "must be", followed by `expected`.

    The message never contains the value, which may contain a password.
    """

    max_length: int
    min_length: int | None = None
    pattern: str | None = None
    expected: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # In the API server, \s matches only ASCII spaces; in pydantic, it matches all spaces of Unicode. Our
        # patterns use \s only inside brackets, so it can be replaced by the ASCII spaces.
        pattern = None if self.pattern is None else self.pattern.replace(r"\s", r"\t\n\f\r ")
        schema = core_schema.str_schema(
            min_length=self.min_length, max_length=self.max_length, pattern=pattern, strict=True
        )
        if not self.expected:
            return schema
        message = f"must be {self.expected}"
        return core_schema.custom_error_schema(schema, custom_error_type="text", custom_error_message=message)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        pattern = {} if self.pattern is None else {"pattern": self.pattern}
        return {**handler(schema), **pattern, **({ALLOWED_VALUES: self.expected} if self.expected else {})}


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """An int-or-string field with a Kubernetes quantity.

    Its value is kept as it is written. With `in_bytes`, its value is a number of bytes, and the minimum and
    maximum are checked for strings too.
    """

    minimum: int
    maximum: int
    max_length: int
    pattern: str
    expected: str
    in_bytes: bool = False

    def read(self, value: Any) -> str | int:
        """Return the value of the field. Raises `ValueError` if it is not valid."""
        number = parse_quantity(value)
        if number <= 0:
            raise ValueError(f"must be greater than 0, is {value}")
        if self.in_bytes and not self.minimum <= number <= self.maximum:
            bounds = f"{_format_bytes(self.minimum)} and {_format_bytes(self.maximum)}"
            raise ValueError(f"must be between {bounds}, is {value}")
        if (
            isinstance(value, float)
            or len(str(value)) > self.max_length
            or not re.fullmatch(self.pattern, str(value))
        ):
            raise ValueError(f"must be {self.expected}, is {value}")
        if isinstance(value, int) and value > self.maximum:
            raise ValueError(f"must be at most {self.maximum}, is {value}")
        return int(number) if self.in_bytes else str(value)

    def _range(self) -> str:
        return f"{_format_bytes(self.minimum)} to {_format_bytes(self.maximum)}"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {
            "x-kubernetes-int-or-string": True,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "maxLength": self.max_length,
            "pattern": self.pattern,
            ALLOWED_VALUES: self._range() if self.in_bytes else self.expected,
        }


def _format_bytes(number: int) -> str:
    for power, suffix in ((3, "Gi"), (2, "Mi"), (1, "Ki")):
        if number % 1024**power == 0:
            return f"{number // 1024**power}{suffix}"
    return str(number)


def integer(minimum: int, maximum: int | None = None, *, openapi_format: str = "int32") -> Any:
    """Return the bounds of an integer, and its OpenAPI format."""
    return Field(ge=minimum, le=maximum, strict=True, json_schema_extra={"format": openapi_format})


def items(max_items: int, *, min_items: int | None = None, list_type: str, keys: tuple[str, ...] = ()) -> Any:
    """Return the bounds of a list, and how server-side apply merges it: atomic, set or map (then by `keys`)."""
    extra: dict[str, Any] = {"x-kubernetes-list-type": list_type}
    if keys:
        extra["x-kubernetes-list-map-keys"] = list(keys)
    return Field(min_length=min_items, max_length=max_items, json_schema_extra=extra)


def field_error(text: str) -> PydanticCustomError:
    """Return the error to raise for an invalid field, with this text as its message."""
    return PydanticCustomError("problem", "{text}", {"text": text})
