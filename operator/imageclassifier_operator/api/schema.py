"""Builds the CustomResourceDefinition from the parts of the API. Used only by `make generate` and tests."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from imageclassifier_operator.api import v1alpha1
from imageclassifier_operator.api.declaration import FORM, Column, Part

OPERATOR_RULES = "x-operator-rules"
"""A JSON schema key: the messages of rules that only the operator checks. It is not part of the CRD."""

_KEYS = (
    "description",
    FORM,
    "type",
    "format",
    "enum",
    "x-kubernetes-int-or-string",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "minItems",
    "maxItems",
    "maxProperties",
    "default",
    "required",
    "x-kubernetes-validations",
    OPERATOR_RULES,
    "properties",
    "additionalProperties",
    "items",
)
"""The keys of a node in output order; pydantic's other keys are omitted."""


def definition() -> dict[str, Any]:
    """Return the CRD."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{v1alpha1.PLURAL}.{v1alpha1.GROUP}",
            "labels": {
                "app.kubernetes.io/name": "imageclassifier-operator",
                "app.kubernetes.io/part-of": "imageclassifier",
            },
        },
        "spec": {
            "group": v1alpha1.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": v1alpha1.KIND,
                "listKind": f"{v1alpha1.KIND}List",
                "plural": v1alpha1.PLURAL,
                "singular": v1alpha1.KIND.lower(),
                "shortNames": list(v1alpha1.SHORT_NAMES),
            },
            "versions": [
                {
                    "name": v1alpha1.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": dict(v1alpha1.SUBRESOURCES),
                    "additionalPrinterColumns": [_column(column) for column in v1alpha1.PRINTER_COLUMNS],
                    "schema": {"openAPIV3Schema": _for_kubernetes(schema())},
                }
            ],
        },
    }


def _column(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        **({"description": column.description} if column.description else {}),
        **({"priority": 1} if column.wide else {}),
        "jsonPath": column.json_path,
    }


def schema() -> dict[str, Any]:
    """Return the structural schema of an object, including keys that are only for the reference page."""
    document = v1alpha1.Resource.model_json_schema(schema_generator=_Described)
    node: dict[str, Any] = _structural(document, document["$defs"])
    built_in = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    return {**node, "properties": {**built_in, **node["properties"]}}


class _Described(GenerateJsonSchema):
    """Adds to each part the docstrings of its fields, and its rules, which pydantic does not include."""

    def model_schema(self, schema: Any) -> dict[str, Any]:
        part: type[Part] = schema["cls"]
        node = super().model_schema(schema)
        node["description"] = _folded(inspect.getdoc(part) or "")
        for name, description in _field_docs(part).items():
            node["properties"][part.api_names()[name]]["description"] = description
        rules = list(part.rules())
        for_cel = [{"rule": rule.cel, "message": rule.message} for rule in rules if rule.cel is not None]
        others = [rule.message for rule in rules if rule.cel is None]
        added = {"x-kubernetes-validations": for_cel, OPERATOR_RULES: others}
        return {**node, **{key: found for key, found in added.items() if found}}


def _field_docs(part: type[Part]) -> dict[str, str]:
    """Return the docstrings below the fields of a part, also of inherited ones."""
    found: dict[str, str] = {}
    for base in reversed([base for base in part.__mro__ if issubclass(base, Part) and base is not Part]):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for field, below in itertools.pairwise(tree.body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                    found[name] = _folded(words)
    return found


def _folded(words: str) -> str:
    return " ".join(words.split())


def _structural(node: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a node in a CRD's form: no references, no null, `{}` as the default of an object."""
    for choice in node.get("anyOf", [node]):
        if choice.get("type") != "null":
            node = {**choice, **node}
    if "$ref" in node:
        node = {**definitions[node["$ref"].removeprefix("#/$defs/")], **node}
    found = {key: node[key] for key in _KEYS if key in node}
    if "properties" in found:
        found["properties"] = {
            name: _structural(inner, definitions) for name, inner in found["properties"].items()
        }
    for key in {"items", "additionalProperties"} & found.keys():
        found[key] = _structural(found[key], definitions)
    if found.get("default") is None:
        found.pop("default", None)
    elif "properties" in found:
        found["default"] = {}
    return found


def _for_kubernetes(node: Any) -> Any:
    if isinstance(node, list):
        return [_for_kubernetes(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    return {key: _for_kubernetes(inner) for key, inner in node.items() if key not in {FORM, OPERATOR_RULES}}
