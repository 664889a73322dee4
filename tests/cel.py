"""Evaluates the CRD's CEL rules without an API server, including Kubernetes' CEL library for quantities."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from celpy import Environment, Runner, celtypes
from celpy.adapter import json_to_cel
from imageclassifier_operator.api.quantity import QuantityError, parse_quantity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from celpy.evaluation import CELFunction


class _Quantity(celtypes.StringType):
    """A quantity of Kubernetes' CEL library."""

    @property
    def number(self) -> Decimal:
        return parse_quantity(str(self))


def _compare(left: _Quantity, right: _Quantity) -> celtypes.IntType:
    return celtypes.IntType((left.number > right.number) - (left.number < right.number))


def _is_quantity(text: celtypes.StringType) -> celtypes.BoolType:
    try:
        parse_quantity(str(text))
    except QuantityError:
        return celtypes.BoolType(False)
    return celtypes.BoolType(True)


_LIBRARY: dict[str, CELFunction] = {"quantity": _Quantity, "compareTo": _compare, "isQuantity": _is_quantity}


@functools.cache
def _program(rule: str) -> Runner:
    environment = Environment()
    return environment.program(environment.compile(rule), functions=_LIBRARY)


def holds(rule: str, value: Any) -> bool:
    """Evaluate a rule on a value, without defaults. Raises CELEvalError if it reads an absent field."""
    return bool(_program(rule).evaluate({"self": json_to_cel(_with_escaped_names(value))}))


_ESCAPED = {"namespace": "__namespace__", "ephemeral-storage": "ephemeral__dash__storage"}
"""Names of fields as rules have them: CEL does not allow reserved words and hyphens."""


def _with_escaped_names(value: Any) -> Any:
    """Return a value with the names of fields as rules have them."""
    if isinstance(value, list):
        return [_with_escaped_names(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {_ESCAPED.get(name, name): _with_escaped_names(item) for name, item in value.items()}


def violations(value: Any, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield `path: message` for each rule of a schema that a value violates, without filling in defaults."""
    for rule in schema.get("x-kubernetes-validations", []):
        if not holds(rule["rule"], value):
            yield f"{path}: {rule['message']}"
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for name, item in value.items():
            inner = properties.get(name) or schema.get("additionalProperties")
            if inner:
                yield from violations(item, inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from violations(item, schema["items"], f"{path}[{index}]")
