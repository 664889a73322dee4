"""The sample admission policies on a real API server: what they reject, where, and with which message."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from e2e.cluster.controlplane import ControlPlane
from e2e.cluster.kubectl import KubectlError
from tests import crd
from tests.integration.operator_harness import Api, classifier, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster import programs

_DIGEST = "501096f942c4064c5a6a9aa1cd6afa840b16147a7910f7373a809c9f99cb6370"
_URI = "https://models.example.org/pets.onnx"
_TAG = "registry.example.org/team/server:1.2"
_TAGGED: dict[str, Any] = {"runtime": {"image": _TAG}}
_SHORT = f"server@sha256:{_DIGEST[1:]}"
_NO_DIGEST = (
    "spec.runtime.image is {image}, which has no digest; namespace digests requires one: "
    "write the image as name@sha256:digest"
)
_NO_SHA256 = (
    "spec.model.uri is given without spec.model.sha256, which namespace digests requires: get it with "
    "sha256sum, or use a model of the catalogue by spec.model.name"
)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, kubernetes: programs.Module) -> Iterator[Api]:
    with ControlPlane(tmp_path_factory.mktemp("plane"), kubernetes=kubernetes) as plane:
        admin = Api(plane.kubeconfig)
        admin.apply(_definition_without_the_rule_about_digests())
        established = ("wait", "--for=condition=Established", "crd/imageclassifiers.imageclassifier.dev")
        eventually(lambda: admin.run(*established), what="the CRD to be served")
        admin.run("apply", "-f", str(crd.FOLDER / "samples" / "policies"))
        for namespace in ("digests", "replicas", "others"):
            admin.run("create", "namespace", namespace)
        admin.run("label", "namespace", "digests", "imageclassifier.dev/require-digest=true")
        admin.run("label", "namespace", "replicas", "imageclassifier.dev/require-two-replicas=true")
        # the API server needs a moment to read policies
        eventually(lambda: _rejection(admin, "digests", _TAGGED), what="the policy on digests")
        eventually(lambda: _rejection(admin, "replicas", {}), what="the policy on replicas")
        yield admin


def _definition_without_the_rule_about_digests() -> dict[str, Any]:
    """Return the CRD without its own rule that a uri needs a sha256, which would be reported first."""
    definition = crd.load(crd.DEFINITION)
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    model = schema["properties"]["spec"]["properties"]["model"]
    rules = model["x-kubernetes-validations"]
    kept = [rule for rule in rules if rule["message"] != "sha256 is required with uri; get it with sha256sum"]
    assert len(kept) == len(rules) - 1
    model["x-kubernetes-validations"] = kept
    return definition


def _rejection(api: Api, namespace: str, spec: dict[str, Any]) -> str:
    """Return the message with which a policy rejects an object; empty if it is accepted."""
    try:
        _create(api, namespace, spec, "--dry-run=server")
    except KubectlError as error:
        _, denied, message = str(error).partition(" denied request: ")
        if not denied:
            raise
        return message
    return ""


def _create(api: Api, namespace: str, spec: dict[str, Any], *options: str, name: str = "pets") -> None:
    manifest = json.dumps(classifier(name, **spec))
    api.run("create", "--namespace", namespace, "-f", "-", *options, stdin=manifest)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"model": {"name": "mobilenet-v2"}},
        {"model": {"uri": _URI, "sha256": _DIGEST}},
        {"runtime": {"image": f"registry.example.org/team/server@sha256:{_DIGEST}"}},
        {"runtime": {"image": f"registry.example.org:5000/team/server:1.2@sha256:{_DIGEST}"}},
    ],
)
def test_images_and_models_with_digests_are_accepted(api: Api, spec: dict[str, Any]) -> None:
    assert _rejection(api, "digests", spec) == ""


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (_TAGGED, _NO_DIGEST.format(image=_TAG)),
        ({"runtime": {"image": _SHORT}}, _NO_DIGEST.format(image=_SHORT)),
        ({"model": {"uri": _URI}}, _NO_SHA256),
    ],
)
def test_an_image_or_a_model_without_a_digest_is_rejected(api: Api, spec: dict[str, Any], message: str) -> None:
    assert _rejection(api, "digests", spec) == message


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 2},
        {"autoscaling": {}},
        {"autoscaling": {"minReplicas": 2}},
        {"replicas": 0, "autoscaling": {"minReplicas": 3}},
    ],
)
def test_two_replicas_are_accepted(api: Api, spec: dict[str, Any]) -> None:
    assert _rejection(api, "replicas", spec) == ""


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "spec.replicas is 1; namespace replicas requires at least 2"),
        ({"replicas": 0}, "spec.replicas is 0; namespace replicas requires at least 2"),
        (
            {"replicas": 5, "autoscaling": {"minReplicas": 1}},
            "spec.autoscaling.minReplicas is 1; namespace replicas requires at least 2",
        ),
    ],
)
def test_fewer_than_two_replicas_are_rejected(api: Api, spec: dict[str, Any], message: str) -> None:
    assert _rejection(api, "replicas", spec) == message


def test_other_namespaces_are_not_affected(api: Api) -> None:
    for spec in ({}, _TAGGED, {"model": {"uri": _URI}}, {"autoscaling": {"minReplicas": 1}}):
        assert _rejection(api, "others", spec) == ""
    # each policy has its own label
    assert _rejection(api, "digests", {"replicas": 1}) == ""
    assert _rejection(api, "replicas", {"replicas": 2, **_TAGGED}) == ""


def test_scaling_below_two_replicas_is_rejected(api: Api) -> None:
    _create(api, "replicas", {"replicas": 3}, name="scaled")
    with pytest.raises(KubectlError, match=r"spec\.replicas is 1; namespace replicas requires at least 2"):
        api.run("scale", "--namespace", "replicas", "ic/scaled", "--replicas=1")
    api.run("scale", "--namespace", "replicas", "ic/scaled", "--replicas=2")


def test_an_object_from_before_the_label_is_checked_when_its_spec_changes(api: Api) -> None:
    api.run("create", "namespace", "digests-later")
    later = replace(api, namespace="digests-later")
    _create(api, "digests-later", _TAGGED)
    api.run("label", "namespace", "digests-later", "imageclassifier.dev/require-digest=true")
    eventually(lambda: _rejection(api, "digests-later", _TAGGED), what="the label to be seen")
    later.patch_status("imageclassifiers", "pets", {"url": "http://pets.digests-later.svc"})
    later.run("label", "ic", "pets", "team=vision")
    with pytest.raises(KubectlError, match="which has no digest; namespace digests-later requires one"):
        later.patch("ic", "pets", {"spec": {"replicas": 2}})
    later.patch("ic", "pets", {"spec": {"replicas": 2, "runtime": {"image": None}}})
    later.run("delete", "ic", "pets")
