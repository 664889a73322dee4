"""The pods that the operator builds from the samples, and the environment that their containers get."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from imageclassifier_operator.api import ImageClassifier, OperatorConfig, parse, parse_catalogue
from imageclassifier_operator.children import build_all
from imageclassifier_operator.manifests import Capabilities, Params

from tests import crd

VALID = crd.samples("valid")
CONFIG = OperatorConfig(runtime_image="runtime:test", catalogue=parse_catalogue(crd.CATALOGUE.read_text()))
SPEC = crd.schema()["properties"]["spec"]
_FIELDS = {"metadata.name": "pets-7d5b-x2", "metadata.uid": "0a1b", "spec.nodeName": "node-1"}
_REFERENCE = re.compile(r"\$\$|\$\(([A-Z_]+)\)")


class Environment(Mapping[str, str]):
    """An environment that notes the name of every variable that is read."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def parsed(spec: Mapping[str, Any], *, name: str = "pets") -> ImageClassifier:
    """Return the typed object of a spec, after the API server's defaults."""
    live = {
        "metadata": {"name": name, "namespace": "vision", "uid": "uid-1", "generation": 1},
        "spec": crd.defaulted(dict(spec), SPEC),
    }
    return parse(live, config=CONFIG)


def children(ic: ImageClassifier) -> dict[str, dict[str, Any]]:
    """Return what the operator builds, by kind."""
    params = Params(ic=ic, config=CONFIG, capabilities=Capabilities())
    return {child["kind"]: child for child in build_all(params).values()}


def pod(ic: ImageClassifier) -> dict[str, Any]:
    """Return the spec of the pods."""
    found: dict[str, Any] = children(ic)["Deployment"]["spec"]["template"]["spec"]
    return found


def containers(ic: ImageClassifier) -> dict[str, dict[str, Any]]:
    """Return the containers of a pod by the command that they run."""
    spec = pod(ic)
    return {container["args"][0]: container for container in (*spec["initContainers"], *spec["containers"])}


def environment(container: Mapping[str, Any], secrets: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what the process sees, as the kubelet makes it.

    `secrets` has values by key; an empty one is a key that the Secret lacks. Every other value is its key itself.
    """
    seen: dict[str, str] = {}
    for entry in container["env"]:
        source = entry.get("valueFrom", {})
        if "fieldRef" in source:
            value = _FIELDS[source["fieldRef"]["fieldPath"]]
        elif "secretKeyRef" in source:
            key = source["secretKeyRef"]["key"]
            value = (secrets or {}).get(key, "key=value" if key.startswith("OTEL_") else key)
            if not value:
                assert source["secretKeyRef"].get("optional"), f"the pod does not start without {key}"
                continue
        else:
            value = _expanded(entry["value"], seen)
        seen[entry["name"]] = value
    return seen


def _expanded(value: str, seen: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda match: seen[match[1]] if match[1] else "$", value)
