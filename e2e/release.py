"""The operator's Helm release in one cluster; Helm runs as a library."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import helm_python

from e2e.cluster.errors import ClusterError
from tools.chart import CHART, NAME, NAMESPACE
from tools.steps import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from e2e.target import Target

_HISTORY = 10
_SECONDS = 180
_UNFINISHED = ("failed", "pending-install", "pending-rollback", "pending-upgrade", "uninstalling")


class Release:
    """The release, which may not be installed, created by `open_release`."""

    def __init__(self, helm: helm_python.Config, *, replaces: bool) -> None:
        self._helm = helm
        self._replaces = replaces

    def apply(self, values: Mapping[str, Any], *, chart: Path = CHART) -> None:
        """Install the chart, or upgrade it.

        An interrupted installation is first removed, which keeps the CRD. So is one in the local cluster of which
        somebody else has changed a field.
        """
        revisions = self.history()
        if revisions and revisions[-1]["status"] in _UNFINISHED:
            self.uninstall()
            revisions = []
        try:
            if revisions:
                self._helm.upgrade(chart, NAME, dict(values), timeout=_SECONDS, max_history=_HISTORY)
            else:
                self._helm.install(chart, NAME, dict(values), timeout=_SECONDS)
        except helm_python.HelmError as error:
            if not (revisions and self._replaces and "Apply failed with" in str(error)):
                raise ClusterError(f"Helm could not install {chart.name}: {error}") from error
            say("Another client has changed the operator's release: installing it again")
            self.uninstall()
            self.apply(values, chart=chart)

    def history(self) -> list[dict[str, Any]]:
        """The revisions, the latest last; empty if the release is not installed."""
        try:
            return self._helm.history(NAME)
        except helm_python.HelmNotFoundError:
            return []

    def test(self) -> str:
        """Run `helm test`; returns the log of its pod. Raises HelmReleaseError if it fails."""
        log: str = self._helm.test(NAME, timeout=_SECONDS, logs=True)["logs"]
        return log

    def rollback(self, revision: int) -> None:
        """Roll back to a revision, which creates a new one."""
        self._helm.rollback(NAME, version=revision, timeout=_SECONDS)

    def uninstall(self) -> None:
        """Delete the release and wait until its objects are gone; the CRD is kept."""
        self._helm.uninstall(NAME, timeout=_SECONDS, wait="watcher")


@contextmanager
def open_release(target: Target) -> Iterator[Release]:
    """Connect Helm to a cluster, with explicit kubeconfig and context."""
    helm = helm_python.Config(kubeconfig_path=target.kubeconfig, kube_context=target.context, namespace=NAMESPACE)
    with helm:
        yield Release(helm, replaces=target.local or target.kind)


def image_values(images: Mapping[str, str]) -> dict[str, Any]:
    """The values with the images' names in the cluster."""
    operator, runtime = (images[image].rpartition(":") for image in ("operator", "runtime"))
    return {
        "image": {"repository": operator[0], "tag": operator[2]},
        "runtimeImage": {"repository": runtime[0], "tag": runtime[2]},
    }
