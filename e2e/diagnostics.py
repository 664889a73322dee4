"""Collects objects, events and logs that help to find out why a scenario failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2e.cluster.kubectl import KubectlError
from e2e.install import NAMESPACE as OPERATOR_NAMESPACE
from e2e.install import POD_SELECTOR as OPERATOR_POD_SELECTOR

if TYPE_CHECKING:
    from e2e.kube import Kube


def dump(kube: Kube, namespace: str) -> str:
    """Objects, events and logs of a namespace, and the operator's pods and log."""
    namespace_option = f"--namespace={namespace}"
    resources = "imageclassifiers,deployments,replicasets,pods,services,endpointslices,hpa"
    commands = (
        ("get", resources, namespace_option, "-o", "wide"),
        ("get", "imageclassifiers", namespace_option, "-o", "yaml"),
        ("describe", "pods", namespace_option),
        ("get", "events", namespace_option, "--sort-by=.lastTimestamp"),
        (
            "logs",
            namespace_option,
            "-l",
            "app.kubernetes.io/name=imageclassifier",
            "--all-containers",
            "--tail=40",
            "--prefix",
        ),
        (
            "logs",
            f"--namespace={OPERATOR_NAMESPACE}",
            f"--selector={OPERATOR_POD_SELECTOR}",
            "--prefix",
            "--tail=60",
        ),
        ("get", "pods", f"--namespace={OPERATOR_NAMESPACE}", "-o", "wide"),
    )
    return "\n".join(f"$ kubectl {' '.join(command)}\n{_run(kube, *command)}" for command in commands)


def _run(kube: Kube, *command: str) -> str:
    try:
        return kube.kubectl(*command, timeout_seconds=30)
    except KubectlError as error:
        return str(error)
