"""The golden cases: folders with an `input.yaml`.

A `capabilities.yaml` says what the API server lacks, a `configuration.yaml` how the operator is configured.

The input of the case every-field is the sample of that name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imageclassifier_operator.api import CatalogueEntry, OperatorConfig, parse
from imageclassifier_operator.children import build_all
from imageclassifier_operator.manifests import Capabilities, Params

from tests import crd

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/expected.yaml"))
EVERY_FIELD = crd.ROOT / "crds" / "samples" / "valid" / "every-field.yaml"
_CATALOGUE = {
    "cifar10-mobilenet-v2": CatalogueEntry(uris=("bundled:cifar10-mobilenet-v2",), sha256="c1fa" * 16),
    "mobilenet-v2": CatalogueEntry(
        uris=("https://one.example.org/m.onnx", "https://two.example.org/m.onnx"), sha256="0e75" * 16
    ),
}
_UID = "5f0e2c1a-7d5b-4a43-9c55-3d2f8a6f1b10"


def build(case: Path, *, kubernetes: tuple[int, int] | None = None) -> list[dict[str, Any]]:
    """Return the manifests of a case, for its API server or for one of another version that is not newer."""
    source = EVERY_FIELD if case.name == EVERY_FIELD.stem else case / "input.yaml"
    configuration = case / "configuration.yaml"
    fields = crd.load(configuration) if configuration.exists() else {}
    file = case / "capabilities.yaml"
    found = crd.load(file) if file.exists() else {}
    version = tuple(found.pop("kubernetes", Capabilities.kubernetes))
    found["kubernetes"] = version if kubernetes is None else min(version, kubernetes)
    return manifests(crd.load(source), Capabilities(**found), **fields)


def manifests(document: dict[str, Any], capabilities: Capabilities, **configuration: Any) -> list[dict[str, Any]]:
    """Return the manifests of an ImageClassifier for an API server, and a configuration of the operator."""
    stored = crd.defaulted(document, crd.schema())
    stored["metadata"] = {"namespace": "vision", "uid": _UID, "generation": 1, **stored["metadata"]}
    config = OperatorConfig(runtime_image="imageclassifier-runtime:test", catalogue=_CATALOGUE, **configuration)
    params = Params(ic=parse(stored, config=config), config=config, capabilities=capabilities)
    return list(build_all(params).values())
