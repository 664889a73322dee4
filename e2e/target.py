"""Selects the target cluster: the one that the environment names, else the local or the kind cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e2e import kind
from e2e.cluster.cluster import SETTINGS
from e2e.cluster.errors import ClusterError
from e2e.cluster.paths import kubeconfig_path, state_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KUBECONFIG, CONTEXT = "E2E_KUBECONFIG", "E2E_CONTEXT"
REGISTRY, REGISTRY_INSECURE = "E2E_REGISTRY", "E2E_REGISTRY_INSECURE"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A cluster. If `registry` is empty, the images are on its nodes already, under their plain names."""

    kubeconfig: Path
    context: str
    registry: str = ""
    insecure_registry: bool = False
    audit_log: Path | None = None
    kind: bool = False
    """Whether it is the kind cluster that demo and tests create if Docker is available."""

    @property
    def local(self) -> bool:
        """Whether it is the local cluster, whose Services this machine reaches directly."""
        return self.audit_log is not None


def target_from(
    env: Mapping[str, str] = os.environ, *, docker_responds: Callable[[], bool] = kind.usable
) -> Target:
    """Return the cluster that the environment names; the default kubeconfig is never read.

    By default it is the kind cluster if Docker responds and the local cluster is not up, else the local one.
    """
    kubeconfig, context = env.get(KUBECONFIG, ""), env.get(CONTEXT, "")
    if not kubeconfig and not context:
        if env.get(REGISTRY):
            raise ClusterError(f"{REGISTRY} is for your own cluster: set {KUBECONFIG} and {CONTEXT} too")
        if not state_dir().exists() and docker_responds():
            return Target(kubeconfig=kind.kubeconfig_path(), context=kind.CONTEXT, kind=True)
        log = state_dir() / "logs" / "audit.log"
        return Target(kubeconfig=kubeconfig_path(), context=SETTINGS.context, audit_log=log)
    if not kubeconfig or not context:
        raise ClusterError(f"{KUBECONFIG} and {CONTEXT} go together: set both, or neither")
    path = Path(kubeconfig).expanduser()
    if not path.is_file():
        raise ClusterError(f"{KUBECONFIG}: no such file: {path}")
    return Target(
        kubeconfig=path,
        context=context,
        registry=env.get(REGISTRY, "").rstrip("/"),
        insecure_registry=env.get(REGISTRY_INSECURE, "") not in {"", "0", "false"},
    )
