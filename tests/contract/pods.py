"""Builds pods as the operator does, and the environment of their containers as the kubelet does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from imageclassifier_operator.api import ImageClassifier, OperatorConfig, parse, parse_catalogue
from imageclassifier_operator.children import build_all
from imageclassifier_operator.manifests import Capabilities, Params

from tests import crd

VALID_SAMPLES = crd.samples("valid")
CONFIG = OperatorConfig(runtime_image="runtime:test", catalogue=parse_catalogue(crd.CATALOGUE.read_text()))
SPEC_SCHEMA = crd.schema()["properties"]["spec"]
_POD_FIELDS = {"metadata.name": "pets-7d5b-x2", "metadata.uid": "0a1b", "spec.nodeName": "node-1"}
_REFERENCE = re.compile(r"\$\$|\$\(([A-Z_]+)\)")


class RecordingEnvironment(Mapping[str, str]):
    """An environment that records the names of the variables that are read."""

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
    """Return the parsed object of a spec with the API server's defaults."""
    live = {
        "metadata": {"name": name, "namespace": "vision", "uid": "uid-1", "generation": 1},
        "spec": crd.defaulted(dict(spec), SPEC_SCHEMA),
    }
    return parse(live, config=CONFIG)


def children(ic: ImageClassifier, config: OperatorConfig = CONFIG) -> dict[str, dict[str, Any]]:
    """Return the manifests that the operator builds, by kind."""
    params = Params(ic=ic, config=config, capabilities=Capabilities())
    return {child["kind"]: child for child in build_all(params).values()}


def pod_spec(ic: ImageClassifier, config: OperatorConfig = CONFIG) -> dict[str, Any]:
    """Return the spec of the Deployment's pods."""
    found: dict[str, Any] = children(ic, config)["Deployment"]["spec"]["template"]["spec"]
    return found


def containers(ic: ImageClassifier, config: OperatorConfig = CONFIG) -> dict[str, dict[str, Any]]:
    """Return the containers of a pod by the command that they run."""
    spec = pod_spec(ic, config)
    return {
        container["args"][0]: container for container in (*spec.get("initContainers", ()), *spec["containers"])
    }


def environment(container: Mapping[str, Any], secrets: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of the process, as the kubelet builds it, with the flags as the command adds them.

    `secrets` maps keys to values; a key with an empty value does not exist in the Secret. Any other key is its own
    value.
    """
    flags = zip(container["args"][1::2], container["args"][2::2], strict=True)
    env = {f"IMAGECLASSIFIER_{flag[2:].replace('-', '_').upper()}": value for flag, value in flags}
    for entry in container["env"]:
        source = entry.get("valueFrom", {})
        if "fieldRef" in source:
            value = _POD_FIELDS[source["fieldRef"]["fieldPath"]]
        elif "secretKeyRef" in source:
            key = source["secretKeyRef"]["key"]
            value = (secrets or {}).get(key, "key=value" if key.startswith("OTEL_") else key)
            if not value:
                assert source["secretKeyRef"].get("optional"), f"the pod does not start without {key}"
                continue
        else:
            value = _expanded(entry["value"], env)
        env[entry["name"]] = value
    return env


def _expanded(value: str, env: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda match: env[match[1]] if match[1] else "$", value)
