"""The CRD on a real API server: stored defaults, errors of invalid objects, and the output of kubectl."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from e2e.cluster import programs
from e2e.cluster.controlplane import ControlPlane
from e2e.cluster.kubectl import KubectlError
from tests import crd
from tests.integration.operator_harness import Api, wait_until_established

if TYPE_CHECKING:
    from collections.abc import Iterator

_INVALID = crd.samples("invalid")
_REJECTED = [sample for sample in _INVALID if sample.rejected]
_STORED = [*crd.samples("valid"), *(sample for sample in _INVALID if not sample.rejected)]
_NOT_CHECKED = "some validation rules were not checked"
_OLDER_AND_NEWEST_WORDING = (
    ('Invalid value: "object": ', "Invalid value: "),  # of a CEL rule on an object
    ('"float64"', '"number"'),
    ("must be of type int32:", "must be of type integer:"),
)
"""The same text in an error of an older API server, and in one of the newest."""
_ADDITIONAL_ERROR = "Checked value must be of type"
"""Only the newest API servers report a number of the wrong type in a second error."""
_SHA256 = "501096f942c4064c5a6a9aa1cd6afa840b16147a7910f7373a809c9f99cb6370"


def _name(sample: crd.Sample) -> str:
    return sample.path.stem


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, kubernetes: programs.Module) -> Iterator[Api]:
    with ControlPlane(tmp_path_factory.mktemp("plane"), kubernetes=kubernetes) as plane:
        admin = Api(plane.kubeconfig, "default")
        admin.run("apply", "-k", str(crd.FOLDER))
        wait_until_established(admin, "imageclassifiers.imageclassifier.dev")
        yield admin


def _apply(api: Api, document: dict[str, Any]) -> None:
    api.run("apply", "-f", "-", stdin=json.dumps(document))


def _get(api: Api, name: str) -> dict[str, Any]:
    found = api.get("ic", name)
    assert found is not None
    return found


@pytest.mark.parametrize("sample", _STORED, ids=_name)
def test_a_sample_is_stored_with_the_defaults_that_the_tests_fill_in(api: Api, sample: crd.Sample) -> None:
    _apply(api, sample.document)
    expected = crd.defaulted(sample.document, crd.schema())
    assert _get(api, sample.path.stem)["spec"] == expected["spec"]


@pytest.mark.parametrize("sample", _REJECTED, ids=_name)
def test_an_invalid_sample_is_rejected_with_the_errors_in_its_comments(
    api: Api, kubernetes: programs.Module, sample: crd.Sample
) -> None:
    with pytest.raises(KubectlError) as raised:
        _apply(api, sample.document)
    found = _errors(str(raised.value))
    if kubernetes == programs.KUBERNETES:
        assert found == sample.errors
    else:
        assert _in_newest_wording(found) == _in_newest_wording(sample.errors)


def _errors(text: str) -> list[str]:
    """Return the server's errors, without the note that CEL rules were not evaluated because of other errors."""
    _, _, listed = text.partition(" is invalid: ")
    lines = [line.removeprefix("* ") for line in listed.strip().splitlines()]
    return [line for line in lines if _NOT_CHECKED not in line]


def _in_newest_wording(errors: list[str]) -> list[str]:
    for older, newest in _OLDER_AND_NEWEST_WORDING:
        errors = [error.replace(older, newest) for error in errors]
    return [error for error in errors if _ADDITIONAL_ERROR not in error]


def test_an_unknown_field_is_rejected(api: Api) -> None:
    document = {**_STORED[0].document, "spec": {"replica": 2}}
    with pytest.raises(KubectlError, match=r'unknown field "spec\.replica"'):
        api.apply(document)


def test_kubectl_scale_writes_replicas(api: Api) -> None:
    _apply(api, _classifier("scaled"))
    api.run("scale", "ic/scaled", "--replicas=3")
    assert _get(api, "scaled")["spec"]["replicas"] == 3


def test_the_scale_subresource_has_replicas_and_selector(api: Api) -> None:
    _apply(api, _classifier("selected"))
    status = {"replicas": 2, "selector": "app.kubernetes.io/instance=selected"}
    api.patch_status("imageclassifiers", "selected", status)
    path = "/apis/imageclassifier.dev/v1alpha1/namespaces/default/imageclassifiers/selected/scale"
    assert json.loads(api.run("get", "--raw", path))["status"] == status


def test_kubectl_get_shows_the_printer_columns(api: Api) -> None:
    _apply(api, _classifier("shown"))
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "AllReplicasReady",
        "message": "2 of 2 pods are ready",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
        "observedGeneration": 1,
    }
    status = {
        "observedGeneration": 1,
        "conditions": [{**ready, "type": "Stalled", "status": "False", "reason": "AsExpected"}, ready],
        "readySummary": "2/2",
        "url": "http://shown.default.svc",
        "image": "imageclassifier-runtime:0.1.0",
        "model": {"name": "mobilenet-v2", "sha256": _SHA256, "precision": "FP32", "classes": 1000},
        "revisions": {"accepted": "shown-0123456789"},
    }
    api.patch_status("imageclassifiers", "shown", status)
    header, row = api.run("get", "ic", "shown", "-o", "wide").splitlines()
    columns = "NAME READY REASON MODEL REPLICAS URL AGE PRECISION REVISION IMAGE"
    assert header.split() == columns.split()
    cells = row.split()
    age = cells.pop(6)
    assert re.fullmatch(r"\d+[smh]", age)
    assert cells == [
        "shown",
        "True",
        "AllReplicasReady",
        "mobilenet-v2",
        "2/2",
        "http://shown.default.svc",
        "FP32",
        "shown-0123456789",
        "imageclassifier-runtime:0.1.0",
    ]


def test_a_condition_without_a_reason_is_rejected(api: Api) -> None:
    _apply(api, _classifier("reasonless"))
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    with pytest.raises(KubectlError, match="reason"):
        api.patch_status("imageclassifiers", "reasonless", status)


def test_a_status_in_an_applied_object_is_ignored(api: Api) -> None:
    _apply(api, {**_classifier("claimed"), "status": {"url": "http://example.org"}})
    assert "status" not in _get(api, "claimed")


def test_a_model_can_be_changed_from_a_name_to_a_uri_and_back(api: Api) -> None:
    by_uri = {"uri": "https://models.example.org/m.onnx", "sha256": _SHA256}
    for model in ({}, by_uri, {"name": "mobilenet-v2"}, by_uri, {}):
        _apply(api, _classifier("swapped", model=model))
        # the precision applies to every model, so its default may remain
        assert _get(api, "swapped")["spec"]["model"] == {"precision": "FP32", **model}


def test_autoscaling_can_be_switched_off(api: Api) -> None:
    _apply(api, _classifier("autoscaled", autoscaling={"maxReplicas": 4}))
    assert _get(api, "autoscaled")["spec"]["autoscaling"]["minReplicas"] == 2
    _apply(api, _classifier("autoscaled"))
    stored = _get(api, "autoscaled")["spec"].get("autoscaling")
    # an empty object would enable autoscaling, so the server's defaults must be removed with it
    assert stored is None


@pytest.mark.parametrize("options", [(), ("--server-side",)], ids=["client-side", "server-side"])
@pytest.mark.parametrize("name", ["autoscaling", "cache-redis", "every-field"])
def test_an_object_whose_manifest_becomes_empty_is_stored_as_a_new_one(
    api: Api, name: str, options: tuple[str, ...]
) -> None:
    (sample,) = (sample for sample in _STORED if sample.path.stem == name)
    emptied = _classifier(f"emptied-{name}{''.join(options)}")
    for document in ({**sample.document, "metadata": emptied["metadata"]}, emptied):
        api.run("apply", *options, "-f", "-", stdin=json.dumps(document))
    stored = _get(api, emptied["metadata"]["name"])["spec"]
    # the defaults in a part must be removed with it, also by server-side apply, although no manager owns them
    assert stored == crd.defaulted(emptied, crd.schema())["spec"]


@pytest.mark.parametrize(
    "path", [path for path, _ in crd.nodes(crd.schema()) if path.startswith("spec") and path[-1] not in "]}"]
)
def test_kubectl_explain_describes_every_field(api: Api, path: str) -> None:
    text = " ".join(api.run("explain", f"ic.{path.replace('[]', '')}").split())
    part = crd.schema()
    for name in path.replace("[]", ".[]").split("."):
        part = part["items"] if name == "[]" else part["properties"][name]
    assert part["description"].replace(" ", "") in text.replace(" ", "")


def _classifier(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "imageclassifier.dev/v1alpha1",
        "kind": "ImageClassifier",
        "metadata": {"name": name},
        "spec": spec,
    }
