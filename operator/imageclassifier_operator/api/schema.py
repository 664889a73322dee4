"""Builds the CustomResourceDefinition from the parts of the API. Used only by `make generate` and tests."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from imageclassifier_operator.api import v1alpha1
from imageclassifier_operator.api.declaration import ALLOWED_VALUES, Column, Part

OPERATOR_RULES = "x-operator-rules"
"""A key of our JSON schema: the messages of rules that only the operator checks. The CRD does not have it."""

_OUTPUT_KEYS = (
    "description",
    ALLOWED_VALUES,
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
"""The keys of a node in the order of the output. Other keys, which pydantic adds, are omitted."""


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
                    "selectableFields": [{"jsonPath": path} for path in v1alpha1.SELECTABLE_FIELDS],
                    "additionalPrinterColumns": [_column(column) for column in v1alpha1.PRINTER_COLUMNS],
                    "schema": {"openAPIV3Schema": _without_own_keys(schema())},
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
    """Return the structural schema of an ImageClassifier, with the keys that are only for the reference page."""
    document = v1alpha1.Resource.model_json_schema(schema_generator=_DescribedSchema)
    node: dict[str, Any] = _structural_schema(document, document["$defs"])
    built_in = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    return {**node, "properties": {**built_in, **node["properties"]}}


class _DescribedSchema(GenerateJsonSchema):
    """Adds what pydantic leaves out of the schema of a part: its rules, and the docstrings of its fields."""

    def model_schema(self, schema: Any) -> dict[str, Any]:
        part: type[Part] = schema["cls"]
        node = super().model_schema(schema)
        node["description"] = _one_line(inspect.getdoc(part) or "")
        for name, description in _field_docs(part).items():
            node["properties"][part.api_names()[name]]["description"] = description
        rules = list(part.rules())
        with_cel = [{"rule": rule.cel, "message": rule.message} for rule in rules if rule.cel is not None]
        without_cel = [rule.message for rule in rules if rule.cel is None]
        added = {"x-kubernetes-validations": with_cel, OPERATOR_RULES: without_cel}
        return {**node, **{key: value for key, value in added.items() if value}}


def _field_docs(part: type[Part]) -> dict[str, str]:
    """Return the docstring below each field of a part; inherited fields are included."""
    docs: dict[str, str] = {}
    for base in reversed([base for base in part.__mro__ if issubclass(base, Part) and base is not Part]):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for field, below in itertools.pairwise(tree.body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    docs[name] = _one_line(text)
    return docs


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _structural_schema(node: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a node as a CRD needs it: without references and null, and with `{}` as the default of an object."""
    for alternative in node.get("anyOf", [node]):
        if alternative.get("type") != "null":
            node = {**alternative, **node}
    if "$ref" in node:
        node = {**definitions[node["$ref"].removeprefix("#/$defs/")], **node}
    result = {key: node[key] for key in _OUTPUT_KEYS if key in node}
    if "properties" in result:
        result["properties"] = {
            name: _structural_schema(inner, definitions) for name, inner in result["properties"].items()
        }
    for key in {"items", "additionalProperties"} & result.keys():
        result[key] = _structural_schema(result[key], definitions)
    if result.get("default") is None:
        result.pop("default", None)
    elif "properties" in result:
        result["default"] = {}
    return result


def _without_own_keys(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_own_keys(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    own_keys = {ALLOWED_VALUES, OPERATOR_RULES}
    return {key: _without_own_keys(inner) for key, inner in node.items() if key not in own_keys}
