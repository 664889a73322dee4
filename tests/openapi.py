"""Validates manifests against Kubernetes' own schemas, without unknown fields.

The schemas are in an optional folder of test data next to the checkout; without it, these functions skip the test.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("IMAGECLASSIFIER_SHARED", ROOT.parent / "shared"))

_DOCUMENTS = SHARED / "openapi-1.36"
_SERVICE_MONITORS = "monitoring.coreos.com/v1"


def errors(manifest: dict[str, Any]) -> list[str]:
    """Return the errors of a manifest against the schema of Kubernetes 1.36, including unknown fields."""
    _require_documents()
    if manifest["apiVersion"] == _SERVICE_MONITORS:
        validator = _crd_validator(SHARED / "crds" / "servicemonitors.yaml")
    else:
        validator = _validator(manifest["apiVersion"], manifest["kind"])
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]


def has_schema(api_version: str) -> bool:
    """Whether there is a schema for this API version: Kubernetes' own, or that of ServiceMonitors."""
    return api_version == _SERVICE_MONITORS or is_built_in(api_version)


def is_built_in(api_version: str) -> bool:
    """Whether Kubernetes itself has this API version."""
    _require_documents()
    return _document(api_version).is_file()


def _require_documents() -> None:
    if not _DOCUMENTS.is_dir():
        pytest.skip(f"no schemas in {SHARED}: set IMAGECLASSIFIER_SHARED")


def _document(api_version: str) -> Path:
    root = "apis" if "/" in api_version else "api"
    return _DOCUMENTS / f"{root}__{api_version.replace('/', '__')}_openapi.json"


@functools.cache
def _validator(api_version: str, kind: str) -> jsonschema.Draft202012Validator:
    document = _strict(json.loads(_document(api_version).read_text()))
    group, _, version = api_version.rpartition("/")
    gvk = {"group": group, "version": version, "kind": kind}
    name = next(
        name
        for name, schema in document["components"]["schemas"].items()
        if gvk in schema.get("x-kubernetes-group-version-kind", [])
    )
    return jsonschema.Draft202012Validator({**document, "$ref": f"#/components/schemas/{name}"})


@functools.cache
def _crd_validator(path: Path) -> jsonschema.Draft202012Validator:
    definition = yaml.safe_load(path.read_text())
    schema = _strict(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"].pop("additionalProperties", None)
    return jsonschema.Draft202012Validator(schema)


def _strict(node: Any) -> Any:
    """Return a schema that rejects fields that it does not list."""
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {key: _strict(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict) and node.get("type") == "object":
        result.setdefault("additionalProperties", False)
    return result
