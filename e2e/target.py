"""Which cluster is worked on: one of our own, or the one that the environment names in full, and never another."""

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
    """A cluster. With an empty `registry` the images are there already, under their plain names."""

    kubeconfig: Path
    context: str
    registry: str = ""
    insecure_registry: bool = False
    audit_log: Path | None = None
    kind: bool = False
    """Whether it is the kind cluster that the demo and the tests create where Docker is."""

    @property
    def local(self) -> bool:
        """Whether it is the local cluster, whose Services this machine reaches without a detour."""
        return self.audit_log is not None


def target_from(
    env: Mapping[str, str] = os.environ, *, docker_answers: Callable[[], bool] = kind.usable
) -> Target:
    """Return the cluster that the environment asks for; the ambient kubeconfig is never looked at.

    Without a word it is a kind cluster if Docker answers and the local cluster is not up, else the local one.
    """
    kubeconfig, context = env.get(KUBECONFIG, ""), env.get(CONTEXT, "")
    if not kubeconfig and not context:
        if env.get(REGISTRY):
            raise ClusterError(f"{REGISTRY} is for a cluster of your own: give {KUBECONFIG} and {CONTEXT} too")
        if not state_dir().exists() and docker_answers():
            return Target(kubeconfig=kind.kubeconfig_path(), context=kind.CONTEXT, kind=True)
        log = state_dir() / "logs" / "audit.log"
        return Target(kubeconfig=kubeconfig_path(), context=SETTINGS.context, audit_log=log)
    if not kubeconfig or not context:
        raise ClusterError(f"{KUBECONFIG} and {CONTEXT} go together: no cluster and no context is ever guessed")
    path = Path(kubeconfig).expanduser()
    if not path.is_file():
        raise ClusterError(f"{KUBECONFIG}: there is no file {path}")
    return Target(
        kubeconfig=path,
        context=context,
        registry=env.get(REGISTRY, "").rstrip("/"),
        insecure_registry=env.get(REGISTRY_INSECURE, "") not in {"", "0", "false"},
    )
