"""Builds the children of a spec with the API server's defaults."""

from __future__ import annotations

from typing import Any

from imageclassifier_operator.api import CatalogueEntry, OperatorConfig, parse
from imageclassifier_operator.children import build_all
from imageclassifier_operator.manifests import Capabilities, Params

from tests import crd

CONFIG = OperatorConfig(
    runtime_image="imageclassifier-runtime:test",
    catalogue={
        "cifar10-mobilenet-v2": CatalogueEntry(uris=("bundled:cifar10-mobilenet-v2",), sha256="c1fa" * 16),
        "mobilenet-v2": CatalogueEntry(uris=("https://one/m.onnx", "https://two/m.onnx"), sha256="0e75" * 16),
    },
)

FETCHED = {"model": {"name": "mobilenet-v2"}}
"""A spec whose pods have an init container, because the server does not come with its model."""


def params_for(
    spec: dict[str, Any] | None = None,
    *,
    name: str = "pets",
    config: OperatorConfig = CONFIG,
    capabilities: Capabilities | None = None,
) -> Params:
    """Return what the builders get for a spec, after the API server's defaults."""
    live = {
        "metadata": {"name": name, "namespace": "vision", "uid": "uid-1", "generation": 1},
        "spec": crd.defaulted(spec or {}, crd.schema()["properties"]["spec"]),
    }
    return Params(ic=parse(live, config=config), config=config, capabilities=capabilities or Capabilities())


def built(spec: dict[str, Any] | None = None, **options: Any) -> dict[str, dict[str, Any]]:
    """Return the children of a spec by kind; `options` are those of `params_for`."""
    return {child["kind"]: child for child in build_all(params_for(spec, **options)).values()}


def template(spec: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """Return the pod template of a spec's Deployment."""
    found: dict[str, Any] = built(spec, **options)["Deployment"]["spec"]["template"]
    return found
