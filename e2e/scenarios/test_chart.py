"""The operator's Helm release: test, uninstall, install of an older version, upgrade and rollback."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import helm_python
import pytest

from e2e.classifiers import (
    delete,
    manifest,
    pods,
    wait_for,
    wait_for_endpoint,
    wait_for_response,
    wait_until_ready,
)
from e2e.install import NAMESPACE, install, wait_for_operator
from e2e.release import Release, image_values, open_release
from e2e.waiting import until
from tools.chart import CHART, CRD_TEMPLATE, NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from e2e.kube import Kube

CRD = "imageclassifiers.imageclassifier.dev"
_BEFORE_THE_LEASE = {
    "  replicas: {{ .Values.replicas }}\n": "  replicas: 1\n",
    "    type: RollingUpdate\n": "    type: Recreate\n",
    "    rollingUpdate:\n      maxSurge: 1\n      maxUnavailable: 0\n": "",
    "            - name: IMAGECLASSIFIER_OPERATOR_LEASE\n": "            - name: UNUSED\n",
}


@pytest.fixture
def release(kube: Kube, images: Mapping[str, str]) -> Iterator[Release]:
    """The release of the session, which is installed again afterwards."""
    with open_release(kube.target) as opened:
        yield opened
    install(kube, images)


@pytest.fixture
def older_chart(tmp_path: Path) -> Path:
    """The chart packaged as version 0.0.1: one operator without a Lease, a CRD without the short name `icl`."""
    folder = tmp_path / NAME
    shutil.copytree(CHART, folder)
    template = folder / CRD_TEMPLATE.relative_to(CHART)
    text = template.read_text()
    assert text.count("    - icl\n") == 1
    template.write_text(text.replace("    - icl\n", ""))
    deployment = folder / "templates" / "deployment.yaml"
    text = deployment.read_text()
    for present, before in _BEFORE_THE_LEASE.items():
        assert text.count(present) == 1, present
        text = text.replace(present, before)
    deployment.write_text(text)
    return Path(helm_python.package(folder, destination=tmp_path, version="0.0.1"))


def _short_names(kube: Kube) -> list[str]:
    definition = kube.get("customresourcedefinitions", CRD)
    assert definition is not None
    names: list[str] = definition["spec"]["names"]["shortNames"]
    return names


def test_a_release_is_uninstalled_installed_upgraded_and_rolled_back_while_its_objects_serve(
    kube: Kube,
    namespace: str,
    release: Release,
    older_chart: Path,
    images: Mapping[str, str],
    photograph: bytes,
) -> None:
    values: dict[str, Any] = image_values(images)
    kube.apply(manifest("pets", namespace=namespace, spec={"rollout": {"drainSeconds": 0}}))
    wait_until_ready(kube, "pets", namespace=namespace)
    endpoint = wait_for_endpoint(kube, "pets", namespace=namespace)
    (pod,) = pods(kube, "pets", namespace=namespace)

    release.uninstall()
    assert release.history() == []
    assert kube.get("imageclassifiers", "pets", namespace=namespace) is not None
    wait_for_response(endpoint, photograph)

    release.apply(values, chart=older_chart)
    wait_for_operator(kube)
    assert _short_names(kube) == ["ic"]

    release.apply(values)
    wait_for_operator(kube)
    assert _short_names(kube) == ["ic", "icl"]
    assert "predictions: [{" in release.test()

    release.apply({**values, "replicas": 0, "test": {"timeoutSeconds": 3}})
    until(lambda: not kube.list("pods", namespace=NAMESPACE), seconds=60, what="the operator to stop")
    with pytest.raises(helm_python.HelmReleaseError):
        release.test()

    release.rollback(2)
    wait_for_operator(kube)
    charts = [(item["revision"], item["status"]) for item in release.history()]
    assert charts == [(1, "superseded"), (2, "superseded"), (3, "superseded"), (4, "deployed")]

    kube.patch("imageclassifiers", "pets", {"spec": {"service": {"port": 8000}}}, namespace=namespace)
    live = wait_for(
        kube,
        "pets",
        namespace=namespace,
        what="reconciled by the operator of the rollback",
        probe=lambda live: live["status"]["url"].endswith(":8000"),
    )
    assert live["status"]["readySummary"] == "1/1"
    assert [item["metadata"]["uid"] for item in pods(kube, "pets", namespace=namespace)] == [
        pod["metadata"]["uid"]
    ]
    delete(kube, "pets", namespace=namespace)
