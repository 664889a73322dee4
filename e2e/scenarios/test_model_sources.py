"""Models from a bucket and from a PersistentVolumeClaim; a missing Secret or claim is reported in the status."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.model import digest
from imageclassifier_runtime.model.folder import bundled

from e2e import model_store
from e2e.classifiers import (
    condition,
    manifest,
    pods,
    wait_for_endpoint,
    wait_for_reason,
    wait_for_response,
    wait_until_ready,
)
from e2e.cluster.paths import state_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e2e.kube import Kube


def test_a_model_in_a_bucket_is_served_once_its_secret_exists(
    kube: Kube, namespace: str, store: str, photograph: bytes
) -> None:
    right = model_store.bundled_digest(kube, store)
    model = {
        "uri": f"s3://{model_store.S3_BUCKET}/pets/",
        "sha256": right,
        "s3": {"endpoint": model_store.endpoint(store)},
    }
    kube.apply(manifest("pets", namespace=namespace, spec={"model": model}))
    live = wait_for_reason(kube, "pets", "ModelAccessDenied", namespace=namespace)
    assert "credentialsSecretRef" in condition(live, "Ready")["message"]

    model["credentialsSecretRef"] = {"name": "model-store"}
    kube.apply(manifest("pets", namespace=namespace, spec={"model": model}))
    live = wait_for_reason(
        kube, "pets", "CreateContainerConfigError", containing="model-store", namespace=namespace
    )
    assert condition(live, "Stalled")["status"] == "True"

    keys = {"AWS_ACCESS_KEY_ID": model_store.S3_ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": "e2e-secret-value"}
    metadata = {"name": "model-store", "namespace": namespace}
    kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": keys})
    live = wait_until_ready(kube, "pets", namespace=namespace)
    assert live["status"]["model"]["sha256"] == right
    result = wait_for_response(wait_for_endpoint(kube, "pets", namespace=namespace), photograph)
    assert result["model"]["sha256"] == right
    (pod,) = pods(kube, "pets", namespace=namespace)
    assert "AWS_" not in str(pod["spec"]["containers"])
    assert "e2e-secret-value" not in kube.kubectl(
        "logs", pod["metadata"]["name"], "--container=model", f"-n={namespace}"
    )


@pytest.fixture
def volume(kube: Kube, namespace: str) -> Iterator[Path]:
    """A folder of the node, which is this machine, as a volume reserved for the claim `models`."""
    if not kube.target.local:
        pytest.skip("needs a node whose file system is this machine's")
    folder = state_dir() / "volumes" / namespace
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    spec = {
        "capacity": {"storage": "64Mi"},
        "accessModes": ["ReadOnlyMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
        "claimRef": {"namespace": namespace, "name": "models"},
        "hostPath": {"path": str(folder), "type": "Directory"},
    }
    kube.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": namespace}, "spec": spec})
    yield folder
    kube.kubectl("delete", "persistentvolume", namespace, "--wait=false")
    shutil.rmtree(folder, ignore_errors=True)


def test_a_model_in_a_claim_is_served_once_the_claim_exists(
    kube: Kube, namespace: str, volume: Path, photograph: bytes
) -> None:
    source = bundled(model_store.BUNDLED)
    assert source is not None
    shutil.copytree(source, volume / "pets")
    right = digest.of_folder(source)
    model = {"uri": "pvc://models/pets/", "sha256": right}
    kube.apply(manifest("pets", namespace=namespace, spec={"model": model}))
    live = wait_for_reason(kube, "pets", "Unschedulable", namespace=namespace)
    assert "create the claim models" in condition(live, "Ready")["message"]
    assert condition(live, "Stalled")["status"] == "True"

    claim = {
        "accessModes": ["ReadOnlyMany"],
        "storageClassName": "",
        "volumeName": namespace,
        "resources": {"requests": {"storage": "64Mi"}},
    }
    metadata = {"name": "models", "namespace": namespace}
    kube.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim})
    wait_until_ready(kube, "pets", namespace=namespace)
    result = wait_for_response(wait_for_endpoint(kube, "pets", namespace=namespace), photograph)
    assert result["model"]["sha256"] == right
