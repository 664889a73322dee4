"""The credentials, settings and volumes of a model source, and the containers that get them."""

from __future__ import annotations

from typing import Any

import pytest

from tests import crd
from tests.unit.operator.manifests.building import template

_SHA256 = "501096f942c4064c5a6a9aa1cd6afa840b16147a7910f7373a809c9f99cb6370"
_COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _pod(uri: str, **model: Any) -> dict[str, Any]:
    spec = {"model": {"uri": uri, "sha256": _SHA256, **model}}
    assert not crd.schema_errors({"metadata": {}, "spec": spec})
    pod: dict[str, Any] = template(spec)["spec"]
    return pod


def _keys(container: dict[str, Any]) -> dict[str, bool]:
    """Return the keys that a container gets from a Secret, and whether they are optional."""
    references = [entry["valueFrom"]["secretKeyRef"] for entry in container["env"] if "valueFrom" in entry]
    assert all(reference["name"] == "model-store" for reference in references)
    return {reference["key"]: reference.get("optional", False) for reference in references}


@pytest.mark.parametrize(
    ("uri", "keys"),
    [
        (
            "s3://models/m.onnx",
            {"AWS_ACCESS_KEY_ID": False, "AWS_SECRET_ACCESS_KEY": False, "AWS_SESSION_TOKEN": True},
        ),
        (f"hf://owner/repo@{_COMMIT}", {"HF_TOKEN": False}),
        ("https://h/m.onnx", {"HTTP_BEARER_TOKEN": True, "HTTP_USERNAME": True, "HTTP_PASSWORD": True}),
        ("http://h/m/", {"HTTP_BEARER_TOKEN": True, "HTTP_USERNAME": True, "HTTP_PASSWORD": True}),
    ],
)
def test_only_the_init_container_gets_the_keys_of_its_scheme(uri: str, keys: dict[str, bool]) -> None:
    pod = _pod(uri, credentialsSecretRef={"name": "model-store"})
    (model,), (server,) = pod["initContainers"], pod["containers"]
    assert _keys(model) == keys
    assert _keys(server) == {}
    assert "model-store" not in str(server)
    assert {"name": "IMAGECLASSIFIER_CREDENTIALS_SECRET", "value": "model-store"} in model["env"]


@pytest.mark.parametrize(
    ("model", "precision"),
    [
        ({}, None),
        ({"precision": "FP32"}, None),
        ({"precision": "INT8"}, "INT8"),
        ({"name": "mobilenet-v2", "precision": "Auto"}, "Auto"),
        ({"uri": "https://h/m/", "sha256": _SHA256, "precision": "Auto"}, "Auto"),
    ],
)
def test_both_containers_get_a_precision_other_than_the_default(
    model: dict[str, str], precision: str | None
) -> None:
    assert not crd.schema_errors({"metadata": {}, "spec": {"model": model}})
    pod = template({"model": model})["spec"]
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        env = {entry["name"]: entry["value"] for entry in container["env"]}
        assert env.get("IMAGECLASSIFIER_PRECISION") == precision


@pytest.mark.parametrize("uri", ["s3://models/m.onnx", f"hf://owner/repo@{_COMMIT}", "https://h/m.onnx"])
def test_without_a_secret_no_key_is_referenced(uri: str) -> None:
    assert "secretKeyRef" not in str(_pod(uri))


def test_the_s3_store_is_passed_as_settings() -> None:
    (model,) = _pod("s3://models/m/", s3={"endpoint": "http://minio:9000"})["initContainers"]
    settings = {entry["name"]: entry.get("value") for entry in model["env"]}
    assert settings["IMAGECLASSIFIER_S3_ENDPOINT"] == "http://minio:9000"
    assert settings["IMAGECLASSIFIER_S3_REGION"] == "us-east-1"
    assert settings["IMAGECLASSIFIER_S3_ADDRESSING"] == "auto"


def test_only_the_init_container_mounts_the_persistent_volume_claim_read_only() -> None:
    pod = _pod("pvc://team.models/pets/v3/")
    (model,), (server,) = pod["initContainers"], pod["containers"]
    assert {"name": "source", "mountPath": "/volumes/team.models", "readOnly": True} in model["volumeMounts"]
    assert "source" not in {mount["name"] for mount in server["volumeMounts"]}
    claim = {"claimName": "team.models", "readOnly": True}
    assert {"name": "source", "persistentVolumeClaim": claim} in pod["volumes"]


def test_other_sources_have_no_volume() -> None:
    assert {volume["name"] for volume in _pod("s3://models/m.onnx")["volumes"]} == {"model", "tmp"}
