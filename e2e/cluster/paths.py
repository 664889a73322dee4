"""Where the local cluster keeps what it downloads (kept for good) and what it runs on (gone with `down`)."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def cache_dir() -> Path:
    """Programs, base image, wheels: everything that is slow to get and safe to keep."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "imageclassifier"


def state_dir() -> Path:
    """Everything that belongs to the running cluster."""
    return Path(os.environ.get("IMAGECLASSIFIER_CLUSTER_DIR") or "/var/lib/imageclassifier-cluster")


def kubeconfig_path() -> Path:
    """The administrator's kubeconfig of the local cluster."""
    return state_dir() / "kubeconfig"


def kubectl() -> Path:
    """The kubectl of the cluster's version, which is in `.venv`."""
    return REPOSITORY / ".venv" / "bin" / "kubectl"
