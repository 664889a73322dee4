"""Paths of the local cluster's state, which `down` deletes."""

from __future__ import annotations

import os
from pathlib import Path


def state_dir() -> Path:
    """The folder with all state of the running cluster."""
    return Path(os.environ.get("IMAGECLASSIFIER_CLUSTER_DIR") or "/var/lib/imageclassifier-cluster")


def kubeconfig_path() -> Path:
    """The administrator's kubeconfig of the local cluster."""
    return state_dir() / "kubeconfig"
