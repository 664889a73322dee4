"""A ServiceMonitor is created only if the cluster has its CRD."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.classifiers import condition, current_condition, manifest, wait_for, wait_until_ready
from e2e.install import SERVICE_MONITOR_CRD, TRIMMED_LABEL, install_service_monitor_crd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.kube import Kube


@pytest.fixture
def removable_crd(kube: Kube) -> Iterator[None]:
    """Skips the test unless the ServiceMonitor CRD is our trimmed one; reinstalls it afterwards."""
    live = kube.get("customresourcedefinitions", SERVICE_MONITOR_CRD) or {}
    if TRIMMED_LABEL not in (live["metadata"].get("labels") or {}):
        pytest.skip("this cluster has the Prometheus operator's own ServiceMonitor CRD, which stays")
    yield
    install_service_monitor_crd(kube)


@pytest.mark.usefixtures("removable_crd")
def test_the_service_monitor_exists_only_while_its_crd_does(kube: Kube, namespace: str) -> None:
    kube.apply(manifest("pets", namespace=namespace, spec={"rollout": {"drainSeconds": 0}}))
    wait_until_ready(kube, "pets", namespace=namespace)
    monitor = kube.get("servicemonitors", "pets", namespace=namespace) or {}
    assert monitor["spec"]["endpoints"] == [{"port": "http", "path": "/metrics", "interval": "15s"}]

    kube.delete("customresourcedefinitions", SERVICE_MONITOR_CRD)
    live = wait_for(
        kube,
        "pets",
        namespace=namespace,
        what="MonitoringReady CRDNotInstalled",
        probe=lambda live: current_condition(live, "MonitoringReady").get("reason") == "CRDNotInstalled",
        seconds=90,
    )
    assert condition(live, "Ready")["status"] == "True"

    install_service_monitor_crd(kube)
    live = wait_for(
        kube,
        "pets",
        namespace=namespace,
        what="MonitoringReady True",
        probe=lambda live: current_condition(live, "MonitoringReady").get("status") == "True",
        seconds=90,
    )
    assert condition(live, "Ready")["status"] == "True"
    assert kube.get("servicemonitors", "pets", namespace=namespace) is not None
