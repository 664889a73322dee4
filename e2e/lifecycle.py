"""Brings up, and takes down again, the cluster that is worked on, if it is ours to start and stop."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from e2e import kind, prepare
from e2e.cluster.cluster import Cluster

if TYPE_CHECKING:
    from e2e.target import Target


def hindrance(target: Target) -> str:
    """What keeps this user from bringing it up; empty if nothing does."""
    if target.local and os.geteuid() != 0:
        return "the local cluster needs root; or name a cluster of your own with E2E_KUBECONFIG and E2E_CONTEXT"
    return ""


def exists(target: Target) -> bool:
    """Whether it was there before; a cluster of the user's own always was."""
    if target.local:
        return Cluster().state.exists()
    return kind.running() if target.kind else True


def bring_up(target: Target) -> None:
    """Start what of it does not run. Raises ClusterError."""
    if target.local:
        prepare.prepare()
        Cluster().up()
    elif target.kind:
        kind.up()


def take_down(target: Target) -> None:
    """Stop it and leave nothing behind; a cluster of the user's own is left alone."""
    if target.local:
        Cluster().down()
    elif target.kind:
        kind.down()
