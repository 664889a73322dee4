"""Where the local cluster keeps what it runs on (gone with `down`), and which kubectl is its own."""

from __future__ import annotations

import os
from pathlib import Path

from tools.paths import REPOSITORY


def state_dir() -> Path:
    """Everything that belongs to the running cluster."""
    return Path(os.environ.get("IMAGECLASSIFIER_CLUSTER_DIR") or "/var/lib/imageclassifier-cluster")


def kubeconfig_path() -> Path:
    """The administrator's kubeconfig of the local cluster."""
    return state_dir() / "kubeconfig"


def kubectl() -> Path:
    """The kubectl of the cluster's version, which is in `.venv`."""
    return REPOSITORY / ".venv" / "bin" / "kubectl"
