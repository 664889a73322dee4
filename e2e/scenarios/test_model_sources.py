"""Models from a bucket with keys from a Secret, and from a claim; what is missing is told with the remedy."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.model import digest
from imageclassifier_runtime.model.folder import bundled

from e2e import modelstore
from e2e.classifiers import condition, manifest, pods, wait_answer, wait_door, wait_ready, wait_reason
from e2e.cluster.paths import state_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e2e.kube import Kube


def test_a_bucket_serves_once_its_secret_is_there(
    kube: Kube, namespace: str, store: str, photograph: bytes
) -> None:
    right = modelstore.bundled_digest(kube, store)
    model = {
        "uri": f"s3://{modelstore.S3_BUCKET}/pets/",
        "sha256": right,
        "s3": {"endpoint": modelstore.endpoint(store)},
    }
    kube.apply(manifest("pets", namespace=namespace, spec={"model": model}))
    live = wait_reason(kube, "pets", "ModelAccessDenied", namespace=namespace)
    assert "credentialsSecretRef" in condition(live, "Ready")["message"]

    model["credentialsSecretRef"] = {"name": "model-store"}
    kube.apply(manifest("pets", namespace=namespace, spec={"model": model}))
    live = wait_reason(kube, "pets", "CreateContainerConfigError", says="model-store", namespace=namespace)
    assert condition(live, "Stalled")["status"] == "True"

    keys = {"AWS_ACCESS_KEY_ID": modelstore.S3_ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": "e2e-secret-value"}
    metadata = {"name": "model-store", "namespace": namespace}
    kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": keys})
    live = wait_ready(kube, "pets", namespace=namespace)
    assert live["status"]["model"]["sha256"] == right
    answer = wait_answer(wait_door(kube, "pets", namespace=namespace), photograph)
    assert answer["model"]["sha256"] == right
    (pod,) = pods(kube, "pets", namespace=namespace)
    assert "AWS_" not in str(pod["spec"]["containers"])
    assert "e2e-secret-value" not in kube.kubectl(
        "logs", pod["metadata"]["name"], "-c", "model", f"-n={namespace}"
    )


@pytest.fixture
def volume(kube: Kube, namespace: str) -> Iterator[Path]:
    """A folder of the one node, which is this machine, as a volume that only the claim `models` may have."""
    if not kube.target.local:
        pytest.skip("makes a volume out of a folder of this machine")
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


def test_a_claim_serves_once_it_is_there(kube: Kube, namespace: str, volume: Path, photograph: bytes) -> None:
    source = bundled(modelstore.BUNDLED)
    assert source is not None
    shutil.copytree(source, volume / "pets")
    right = digest.of_folder(source)
    model = {"uri": "pvc://models/pets/", "sha256": right}
    kube.apply(manifest("pets", namespace=namespace, spec={"model": model}))
    live = wait_reason(kube, "pets", "Unschedulable", namespace=namespace)
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
    wait_ready(kube, "pets", namespace=namespace)
    answer = wait_answer(wait_door(kube, "pets", namespace=namespace), photograph)
    assert answer["model"]["sha256"] == right
