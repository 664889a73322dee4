"""The API server and the operator agree: on each rule in CEL and in Python, and on each field's bounds."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.api import InvalidSpecError, OperatorConfig, parse, parse_catalogue
from imageclassifier_operator.api.declaration import Part, Rule
from imageclassifier_operator.api.v1alpha1 import ImageClassifierSpec
from pydantic import ValidationError

from tests import cel, crd

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SPEC = crd.schema()["properties"]["spec"]
_SAMPLES = [*crd.samples("valid"), *crd.samples("invalid")]
_STORED = [sample for sample in _SAMPLES if not sample.rejected_by_schema]
_REJECTED = [sample for sample in _SAMPLES if sample.rejected_by_schema]
_SHA256 = "501096f942c4064c5a6a9aa1cd6afa840b16147a7910f7373a809c9f99cb6370"
_CONFIG = OperatorConfig(runtime_image="runtime:test", catalogue=parse_catalogue(crd.CATALOGUE.read_text()))


def _combinations(**choices: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Yield every combination of values; None means that the field is absent."""
    for values in itertools.product(*choices.values()):
        yield {name: value for name, value in zip(choices, values, strict=True) if value is not None}


def _specs() -> Iterator[dict[str, Any]]:
    for model in _combinations(
        name=(None, "mobilenet-v2"),
        uri=(None, "https://models.example.org/m.onnx", "s3://models/m.onnx", "pvc://models/m.onnx"),
        sha256=(None, _SHA256),
        credentialsSecretRef=(None, {"name": "keys"}),
        s3=(None, {}, {"region": "eu-west-3"}),
    ):
        yield {"model": model}
    for autoscaling in _combinations(minReplicas=(None, 1, 2, 3, 11), maxReplicas=(None, 1, 2, 10)):
        yield {"autoscaling": autoscaling}
    for rollout in _combinations(maxSurge=(None, 0, 1), maxUnavailable=(None, 0, 1)):
        yield {"rollout": rollout}
    for runtime in _combinations(
        serviceAccountName=(None, "pets"),
        serviceAccountAnnotations=(None, {}, {"example.org/role": "reader"}),
        env=(None, *([{"name": name}] for name in ("A", "IMAGECLASSIFIER_A", "OTEL_A", "A_OTEL_"))),
    ):
        yield {"runtime": runtime}
    for ingress in _combinations(
        className=(None, "haproxy"),
        annotations=(None, {}, {"kubernetes.io/ingress.class": "haproxy"}, {"example.org/class": "haproxy"}),
    ):
        yield {"ingress": {"host": "pets.example.org", **ingress}}
    parents = list(_combinations(name=("a", "b"), namespace=(None, "a"), sectionName=(None, "a", "b")))
    for first, second in itertools.combinations_with_replacement(parents, 2):
        yield {"gateway": {"parentRefs": [first]}}
        yield {"gateway": {"parentRefs": [first, second]}}
    for toleration in _combinations(
        key=(None, "pool"),
        operator=(None, "Equal", "Exists"),
        value=(None, "", "vision"),
        effect=(None, "NoSchedule", "NoExecute"),
        tolerationSeconds=(None, 0),
    ):
        yield {"scheduling": {"tolerations": [toleration]}}
    for requirement in _combinations(
        operator=("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"), values=(None, [], ["1"], ["1", "2"])
    ):
        yield {"scheduling": {"affinity": _affinity({"key": "pool", **requirement})}}
    for peer in _combinations(
        namespaceSelector=(None, {}, {"matchLabels": {"team": "vision"}}),
        podSelector=(None, {}, {"matchLabels": {"app": "gallery"}}),
        ipBlock=(None, {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}),
    ):
        for peers in ([], [peer], [{"podSelector": {}}, peer]):
            yield {"networkPolicy": {"allowFrom": peers}}
            yield {"networkPolicy": {"allowMetricsFrom": peers}}
    for size, queue in itertools.product((None, 1, 8, 64), (None, 1, 7, 8, 63, 64, 65)):
        yield {**dict(_part("batching", maxBatchSize=size)), **dict(_part("limits", maxQueueSize=queue))}
    for resource, values in {
        "cpu": (None, 1, "1", "1000m", "999m", "0.5", "500m", "501m", 2),
        "memory": (None, 1, "512Mi", "0.5Gi", "512M", "536870913", "1Gi", 2**29),
        "ephemeral-storage": (None, "512Mi", "0.5Gi", "1Gi"),
    }.items():
        for request, limit in itertools.product(values, values):
            requests, limits = (
                dict(_part("requests", **{resource: request})),
                dict(_part("limits", **{resource: limit})),
            )
            yield {"resources": {**requests, **limits}}


def _affinity(requirement: dict[str, Any]) -> dict[str, Any]:
    """Return an affinity with the requirement for nodes, and for pods if their operators allow it."""
    node = {"weight": 1, "preference": {"matchExpressions": [requirement]}}
    found: dict[str, Any] = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [node]}}
    if requirement["operator"] not in {"Gt", "Lt"}:
        pods = {"topologyKey": "zone", "labelSelector": {"matchExpressions": [requirement]}}
        found["podAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": [pods]}
    return found


def _part(part: str, **fields: Any) -> Iterator[tuple[str, Any]]:
    present = {name: value for name, value in fields.items() if value is not None}
    if present:
        yield part, present


def _rules(part: Part, stored: dict[str, Any]) -> Iterator[tuple[Rule, Part, dict[str, Any]]]:
    """Yield every rule that also exists in CEL, with the part and the stored object that it applies to."""
    for rule in part.rules():
        if rule.cel is not None:
            yield rule, part, stored
    for name, api_name in part.api_names().items():
        inner = getattr(part, name)
        if isinstance(inner, Part):
            yield from _rules(inner, stored[api_name])
        elif isinstance(inner, tuple):
            for item, below in zip(inner, stored.get(api_name, ()), strict=False):
                if isinstance(item, Part):
                    yield from _rules(item, below)


def _outcomes(spec: dict[str, Any]) -> set[tuple[str, bool]]:
    stored = crd.defaulted(spec, _SPEC)
    found = set()
    for rule, part, node in _rules(ImageClassifierSpec.model_validate(stored), stored):
        assert rule.cel is not None
        holds = rule.holds(part)
        assert cel.holds(rule.cel, node) == holds, (rule.message, node)
        found.add((rule.message, holds))
    return found


@pytest.mark.parametrize("sample", _STORED, ids=lambda sample: sample.path.stem)
def test_cel_and_python_agree_on_a_sample(sample: crd.Sample) -> None:
    spec = sample.document.get("spec") or {}
    try:
        assert _outcomes(spec)
    except ValidationError:  # a value that only the operator rejects
        assert set(sample.expected) == {"condition"}


def test_cel_and_python_agree_on_every_combination_of_the_fields_that_rules_read() -> None:
    outcomes = set().union(*map(_outcomes, _specs()))
    messages = {
        rule["message"] for _, node in crd.nodes(crd.schema()) for rule in node.get("x-kubernetes-validations", [])
    }
    assert outcomes == {(message, holds) for message in messages for holds in (True, False)}


@pytest.mark.parametrize("sample", _REJECTED, ids=lambda sample: sample.path.stem)
def test_the_operator_rejects_the_field_that_the_schema_rejects(sample: crd.Sample) -> None:
    # an older CRD may accept it
    with pytest.raises(InvalidSpecError) as raised:
        parse({"metadata": {}, "spec": crd.defaulted(sample.document["spec"], _SPEC)}, config=_CONFIG)
    for error in sample.errors:
        field, _, text = error.removeprefix("<nil>").removeprefix(".").partition(": ")
        if not field.startswith("spec.") or "Checked value" in text:  # a second error for the same field
            continue
        parent, _, name = field.rpartition(".")
        start = f"{parent}: {name} is required" if text == "Required value" else f"{field}: "
        assert [problem for problem in raised.value.problems if problem.startswith(start)], start
    for problem in raised.value.problems:
        assert not re.search(
            "password|secret@|AKIA", problem.partition(": ")[2].removesuffix("without user and password")
        )


def _parts(part: type[Part] = Part) -> Iterator[type[Part]]:
    """Yield the parts of the API: the subclasses of Part, at any depth."""
    for below in part.__subclasses__():
        yield below
        yield from _parts(below)


def test_a_rule_reads_fields_of_its_part() -> None:
    read = {(part, path) for part in _parts() for rule in part.rules() for path in rule.reads}
    assert len(read) > 20
    unknown = [path for part, path in read if path.partition(".")[0] not in part.api_names().values()]
    assert not unknown
    functions = [
        path for _, path in read if path.rpartition(".")[2] in {"all", "exists", "exists_one", "startsWith"}
    ]
    assert not functions
