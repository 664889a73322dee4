"""Generates the reference page of the API, for users who write an ImageClassifier."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api import v1alpha1
from imageclassifier_operator.api.declaration import ALLOWED_VALUES
from imageclassifier_operator.api.schema import OPERATOR_RULES, schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_INTRODUCTION = f"""\
# API reference: `{v1alpha1.KIND}`, `{v1alpha1.GROUP}/{v1alpha1.VERSION}`

{{description}}

```yaml
apiVersion: {v1alpha1.GROUP}/{v1alpha1.VERSION}
kind: {v1alpha1.KIND}
metadata:
  name: pets
spec: {{{{}}}}
```

`samples/valid` has examples, `samples/invalid` common mistakes with their errors, and `kubectl explain ic.spec`
prints the descriptions below. Each object of the API has a section with its fields:

- A field without a default stays unset if you do not set it.
- A quantity is an integer or a string with a suffix, such as `500m`, `512Mi` or `1Gi`.
- The type of a list shows how server-side apply merges it: as one value (atomic), by entry (set), or by key (map).
- The rules of an object compare its fields. Each is listed with the error message for an object that breaks it.
"""


def page() -> str:
    """Return the page, in Markdown."""
    root = schema()
    sections = [_section(name, root["properties"][name]) for name in ("spec", "status")]
    return "\n".join([_INTRODUCTION.format(description=root["description"]), *sections])


def _section(path: str, node: Mapping[str, Any]) -> str:
    """Return the section of an object, followed by the sections of the objects in its fields."""
    parts = [f"## `{path}`", "", node["description"], ""]
    parts += ["| field | type | default | allowed | description |", "| --- | --- | --- | --- | --- |"]
    parts += [
        _row(path, name, field, required=name in node.get("required", ()))
        for name, field in node["properties"].items()
    ]
    rules = [rule["message"] for rule in node.get("x-kubernetes-validations", ())]
    rules += [f"{message} (checked only by the operator)" for message in node.get(OPERATOR_RULES, ())]
    if rules:
        parts += ["", "Rules:", "", *(f"- {rule}" for rule in rules)]
    inner = [_section(inner_path, field) for inner_path, field in _objects(path, node)]
    return "\n".join([*parts, "", *inner])


def _objects(path: str, node: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, field in node["properties"].items():
        if "properties" in field:
            yield f"{path}.{name}", field
        elif "properties" in field.get("items", {}):
            yield f"{path}.{name}[]", field["items"]


def _row(path: str, name: str, field: Mapping[str, Any], *, required: bool) -> str:
    default = f"`{_value(field['default'])}`" if "default" in field else ""
    cells = (
        f"`{name}`",
        _type(f"{path}.{name}", field),
        "required" if required else default,
        _allowed(field),
        field["description"],
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _value(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def _type(path: str, field: Mapping[str, Any]) -> str:
    if "x-kubernetes-int-or-string" in field:
        return "quantity"
    if "properties" in field:
        return f"[object](#{_anchor(path)})"
    if "additionalProperties" in field:
        return f"map of {field['additionalProperties']['type']}s"
    if "items" in field:
        inner = field["items"]
        merged = field["x-kubernetes-list-type"]
        keys = ", ".join(field.get("x-kubernetes-list-map-keys", ()))
        kind = f"[objects](#{_anchor(path)})" if "properties" in inner else f"{inner['type']}s"
        return f"list of {kind} ({merged}{f' by {keys}' if keys else ''})"
    return str(field["type"])


def _anchor(path: str) -> str:
    return "".join(letter for letter in path.lower() if letter.isalnum())


def _allowed(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if ALLOWED_VALUES in field:
        return str(field[ALLOWED_VALUES])
    if "format" in field and "minimum" not in field:
        return str(field["format"])
    for min_key, max_key, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " entries"),
        ("", "maxProperties", " entries"),
    ):
        if min_key in field and max_key in field:
            return f"{field[min_key]} to {field[max_key]}{unit}"
        if max_key in field:
            return f"at most {field[max_key]}{unit}"
        if min_key in field:
            return f"at least {field[min_key]}{unit}"
    return ""
